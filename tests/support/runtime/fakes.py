"""Faces, a face finder and a model whose every number is known beforehand.

A picture is a row of slots, 64 pixels wide and high, one for each person. A slot with a face has one grey level that
tells the frame and the slot; an empty one is black. So a crop shows which face of which frame it is.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from mdhr_sdk.aus import label_set
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig, Preprocessing
from mdhr_sdk.results import FrameResult, ModelInfo
from mdhr_sdk.runtime import TensorSpec
from mdhr_sdk.vision import DEFAULT_TEMPLATE, TEMPLATES, Face

SLOT = 64
LENGTH = 4
MAX_FRAMES, MAX_SLOTS = 25, 10  # more would not fit into 256 levels
CONFIG = FolderConfig(
    ModelConfig(label_set("disfa"), input_size_px=SLOT), clip_length=LENGTH, preprocessing=Preprocessing(size_px=SLOT)
)
CODES = CONFIG.model.label_set.codes
INFO = ModelInfo("fake", "disfa", "none", "fake", "cpu", trained=True)
Pattern = Sequence[Set[int]]  # the slots with a face, frame by frame


def level(index: int, slot: int) -> int:
    return 1 + MAX_FRAMES * slot + index


def picture(index: int, slots: Set[int], width: int = 3) -> np.ndarray:
    image = np.zeros((SLOT, SLOT * width, 3), np.uint8)
    for slot in slots:
        image[:, SLOT * slot : SLOT * (slot + 1)] = level(index, slot)
    return image


def video(pattern: Pattern, width: int = 3) -> np.ndarray:
    return np.stack([picture(index, slots, width) for index, slots in enumerate(pattern)])


def score(of: int, position: int) -> np.ndarray:
    """(8,) float32: what the fake model says of the crop of level `of` that stands at `position` in its clip."""
    return ((of * 7 + position * 29 + 13 * np.arange(len(CODES))) % 101 / 100).astype(np.float32)


def mesh(slot: int) -> np.ndarray:
    """A mesh whose aligned crop is exactly the slot."""
    points = np.random.default_rng(0).uniform(8, SLOT - 8, (478, 3))
    template = TEMPLATES[DEFAULT_TEMPLATE]
    points[list(template.landmarks), :2] = np.array(template.targets) * SLOT
    points[:, 0] += SLOT * slot
    return points.astype(np.float32)


class FakeMesher:
    """Stands for `FaceMesher`; finds a face in every slot that is not black, from right to left."""

    made: ClassVar[list[FakeMesher]] = []
    seen = 0
    _looked: ClassVar[threading.Condition] = threading.Condition()
    _last: ClassVar[list[weakref.ref[np.ndarray]]] = []  # pictures that were looked at

    def __init__(
        self, max_faces: int = 10, still: bool = False, model_file: str | Path | None = None, faces: str = "auto"
    ) -> None:
        self.given = (max_faces, still, model_file)
        self.resets = self.found = 0
        self.closed = False
        self.made.append(self)

    def find(self, image: np.ndarray) -> list[Face]:
        assert not self.closed
        self.found += 1
        with self._looked:
            self._last[:] = [*self._last[-99:], weakref.ref(image)]
            self._looked.notify_all()
        middles = image[SLOT // 2, SLOT // 2 :: SLOT, 0]
        return [Face(mesh(slot)) for slot, value in reversed(list(enumerate(middles))) if value > 0]

    @classmethod
    def wait_until_found(cls, image: np.ndarray) -> bool:
        """Wait until a mesher has looked at this very picture; False if none did in half a minute."""
        with cls._looked:
            return cls._looked.wait_for(lambda: any(one() is image for one in cls._last), 30)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class FakeSession:
    """Reads the levels off the normalised crops, remembers them batch by batch, and scores each with `score`."""

    backend, device, precision = "fake", "cpu", "fp32"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []  # (B, T) levels
        self.closed = 0

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        clip = inputs["clip"]
        assert list(inputs) == ["clip"] and clip.dtype == np.float32 and clip.shape[1:] == (LENGTH, 3, SLOT, SLOT)
        mean, std = (np.reshape(v, (3, 1, 1)) for v in (CONFIG.preprocessing.mean, CONFIG.preprocessing.std))
        pixels = (clip * std + mean) * 255
        levels = np.rint(pixels[:, :, 0, SLOT // 2, SLOT // 2]).astype(int)
        self.batches.append(levels)
        return {"scores": np.stack([[score(of, t) for t, of in enumerate(row)] for row in levels])}

    def close(self) -> None:
        self.closed += 1

    @property
    def windows(self) -> list[tuple[int, ...]]:
        """The levels of every clip that was scored, in order."""
        return [tuple(map(int, row)) for batch in self.batches for row in batch]


def readers() -> list[threading.Thread]:
    """The threads of this process that read sources."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("mdhr reads ")]


def tracks(pattern: Pattern, memory: int = MAX_FRAMES) -> list[dict[int, int]]:
    """For each frame: slot -> track id.

    Ids go in order of appearance, from the left where several appear at once. A face that comes back more than
    `memory` frames after its last one has a new id.
    """
    ids, last, frames = dict[int, int](), dict[int, int](), []
    count = itertools.count()
    for index, slots in enumerate(pattern):
        for slot in sorted(slots):
            if slot not in ids or index - last[slot] > memory:
                ids[slot] = next(count)
            last[slot] = index
        frames.append({slot: ids[slot] for slot in slots})
    return frames


def windows(pattern: Pattern) -> list[tuple[int, list[int]]]:
    """(slot, frames) of every window, worked out from the whole video: runs of frames, cut from their start."""
    found = []
    for slot in dict.fromkeys(slot for slots in pattern for slot in sorted(slots)):
        run: list[int] = []
        for index in range(len(pattern) + 1):
            here = index < len(pattern) and slot in pattern[index]
            if run and (not here or len(run) == LENGTH):
                found.append((slot, run))
                run = []
            if here:
                run.append(index)
    return found


def expected(pattern: Pattern, memory: int = MAX_FRAMES) -> list[dict[int, np.ndarray]]:
    """For each frame: track id, as `tracks` gives it -> (8,) probabilities."""
    ids, frames = tracks(pattern, memory), [dict[int, np.ndarray]() for _ in pattern]
    for slot, indices in windows(pattern):
        for position, index in enumerate(indices):
            frames[index][ids[index][slot]] = score(level(index, slot), position)
    return frames


def padded_levels(pattern: Pattern) -> list[tuple[int, ...]]:
    """What the model should see of every window: levels, the last one again up to the clip length."""
    return [tuple(level(min(f[0] + i, f[-1]), slot) for i in range(LENGTH)) for slot, f in windows(pattern)]


PATTERN: list[set[int]] = [{0}] * 5 + [{0, 1}] * 4 + [set()] * 2 + [{1}] * 3


def values(frames: Iterable[FrameResult]) -> list[dict[int, list[float]]]:
    """What results say: track id -> probabilities, frame by frame."""
    return [{face.track_id: [face[code].probability for code in CODES] for face in frame.faces} for frame in frames]


def wanted(pattern: Pattern) -> list[dict[int, list[float]]]:
    """What `values` should be."""
    return [{track_id: row.tolist() for track_id, row in frame.items()} for frame in expected(pattern)]


def write_film(path: Path, frames: list[np.ndarray], codec: str = "mp4v") -> Path:
    """A video written by OpenCV: quick, and without the choices of `made_videos.write_video`."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
