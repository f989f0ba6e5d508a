"""Clips of T frames from a list: to train on, one random window per video and epoch; to test on, every frame once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from ...errors import ConfigError, DataError, SourceError
from ...vision import prepare
from ...vision.sources.images import read_image
from ..fit.augment import Augmentation, augment, resize
from .frames import FrameList

Item = dict[str, Tensor]


class ClipDataset(Dataset[Item]):
    """Windows of a list's frames; no window reaches over a change of subject or task, or a gap in frame numbers.

    A video is a subject's task where the data set has tasks (BP4D), else a subject (DISFA). In training an item is a
    video, and its window is drawn anew each epoch among all windows of the video: any T consecutive frames, or a whole
    run of fewer. In testing an item is a window, and a run is cut into consecutive windows from its start. A window
    with fewer than T frames repeats its last frame, with labels -1 and row -1, so that the repetition counts nowhere.
    With `augmentation.hold` some training clips are one frame of their window throughout, and count as often.

    An item depends on (seed, epoch, index) alone, not on workers or order. It holds:

    - 'clip': (T, 3, S, S) float32, RGB, (x / 255 - mean) / std; with `as_bytes` (T, S, S, 3) uint8 BGR, which is a
      quarter of the memory and becomes the same by `normalised` on the device
    - 'labels': (T, N) int8, 1, 0, or -1 (unknown or repeated)
    - 'regions': (T, G) int64, class of each region group, -1 (an AU of it unknown, or repeated)
    - 'rows': (T,) int64, the frame's row in the list, -1 where repeated

    Args:
        root: the image folder that the list's paths start from; or one for each first part of them, which is then no
            folder of it.
        clip_length, size_px: T and S.
        mean, std: of red, green and blue, on the scale 0 to 1.
        train: random windows, augmented; otherwise consecutive windows, only resized.
        seed: of windows and augmentation.
        augmentation: the paper's if None; refused in testing.
        as_bytes: leave normalisation to the device.
    """

    def __init__(
        self,
        frames: FrameList,
        *,
        root: Path | Mapping[str, Path],
        clip_length: int,
        size_px: int,
        mean: Sequence[float],
        std: Sequence[float],
        train: bool,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        as_bytes: bool = False,
    ) -> None:
        if clip_length < 1 or size_px < 1:
            raise ConfigError(f"clip_length and size_px must be at least 1; got {clip_length} and {size_px}")
        if augmentation is not None and not train:
            raise ConfigError("test clips are never augmented; leave augmentation out, or set train=True")
        self.frames = frames
        self.root = root
        self.clip_length = clip_length
        self.size_px = size_px
        self.mean, self.std = tuple(mean), tuple(std)
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        self.train = train
        self.as_bytes = as_bytes
        self._windows = _training_windows(frames, clip_length) if train else _test_windows(frames, clip_length)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """One clip of (epoch, index); an index alone is one of epoch 0.

        Raises:
            DataError: a picture cannot be read.
        """
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # workers are as many as there are cores already
        epoch, index = index if isinstance(index, tuple) else (0, index)
        windows = self._windows[index]
        rng = np.random.default_rng((self.seed, epoch, index))
        rows = self.window_rows(windows[int(rng.integers(len(windows))) if self.train else 0])
        count = int((rows >= 0).sum())
        hold = self.augmentation.hold
        if self.train and hold and rng.random() < hold:  # no draw without it: clips stay as they were
            rows[:count] = rows[rng.integers(count)]
        clip: NDArray = self._crops(rows[:count], rng)
        if not self.as_bytes:
            clip = prepare(clip, self.mean, self.std)
        if count < self.clip_length:
            clip = clip[np.minimum(np.arange(self.clip_length), count - 1)]
        return {
            "clip": torch.from_numpy(clip),
            "labels": torch.from_numpy(_padded(self.frames.labels, rows)),
            "regions": torch.from_numpy(_padded(self.frames.regions, rows)),
            "rows": torch.from_numpy(rows),
        }

    def window_rows(self, window: NDArray[np.int64]) -> NDArray[np.int64]:
        """(T,) rows of a window (first row, frames), with -1 after its last."""
        first, count = window
        steps = np.arange(self.clip_length, dtype=np.int64)
        return np.where(steps < count, first + steps, -1)

    def place(self, row: int) -> Path:
        """Where the picture of a row is."""
        path = self.frames.paths[row]
        if not isinstance(self.root, Mapping):
            return Path(self.root) / path
        name, _, rest = path.partition("/")
        return self.root[name] / rest

    def _crops(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        side = round(self.size_px * self.augmentation.scale) if self.train else self.size_px
        read = {row: resize(self._read(row), side) for row in dict.fromkeys(rows.tolist())}
        crops = np.stack([read[row] for row in rows.tolist()])
        return augment(crops, self.size_px, self.augmentation, rng) if self.train else crops

    def _read(self, row: int) -> NDArray[np.uint8]:
        try:
            return read_image(self.place(row))
        except SourceError as error:
            raise DataError(f"{error}; it is listed in {self.frames.name}; or prepare the data again") from None


def normalised(clips: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(..., S, S, 3) uint8 BGR to (..., 3, S, S) float32 RGB, (x / 255 - mean) / std, on the tensor's device.

    Clips that are floats already stay as they are.
    """
    if clips.is_floating_point():
        return clips
    planes = torch.stack([clips[..., channel] for channel in (2, 1, 0)], dim=-3).float()
    scale = torch.tensor([1 / (255 * s) for s in std], device=clips.device).view(3, 1, 1)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=clips.device).view(3, 1, 1)
    return planes.mul_(scale).sub_(shift)


def _padded(values: NDArray, rows: NDArray[np.int64]) -> NDArray:
    return np.where(rows[:, None] >= 0, values[rows], -1).astype(values.dtype)


def _test_windows(frames: FrameList, length: int) -> list[NDArray[np.int64]]:
    """One window an item."""
    return [
        np.array([(first, min(length, run.stop - first))], np.int64)
        for run in frames.runs()
        for first in range(run.start, run.stop, length)
    ]


def _training_windows(frames: FrameList, length: int) -> list[NDArray[np.int64]]:
    """All windows of each video, one video per item."""
    videos: dict[int, list[NDArray[np.int64]]] = {}
    for run in frames.runs():
        count = run.stop - run.start
        firsts = np.arange(run.start, run.start + max(1, count - length + 1), dtype=np.int64)
        windows = np.column_stack([firsts, np.full(len(firsts), min(count, length))])
        videos.setdefault(int(frames.videos[run.start]), []).append(windows)
    return [np.concatenate(windows) for windows in videos.values()]
