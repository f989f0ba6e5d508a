"""One source on its way through faces, tracks, crops and clips."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .config import FolderConfig
from .errors import BackendError, InputError
from .results import AUScore, FaceResult, FrameResult, ModelInfo
from .runtime import Session
from .runtime.clips import Clip, ClipAssembler
from .vision import Face, FaceMesher, Frame, Tracker, align, prepare

Item = TypeVar("Item")
MAX_BATCH = 8  # clips a call: bounds memory when many faces end together


class StageClock:
    """Adds up the seconds spent in named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def each(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time it takes to get each."""
        iterator = iter(items)
        while True:
            with self(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item


@dataclass(frozen=True)
class Scorer:
    """The model with all it takes to turn crops into named action units.

    Attributes:
        thresholds: code -> probability from which the AU occurs, in the model's order.
    """

    session: Session
    config: FolderConfig
    info: ModelInfo
    thresholds: Mapping[str, float]

    def score(self, clips: list[Clip], clock: StageClock) -> Iterator[tuple[Clip, NDArray[np.float32]]]:
        """Each clip with its probabilities (frames of the clip, N); padding is added before and dropped after."""
        length, preprocessing = self.config.clip_length, self.config.preprocessing
        for start in range(0, len(clips), MAX_BATCH):
            batch = clips[start : start + MAX_BATCH]
            with clock("align"):
                crops = np.concatenate([clip.padded(length) for clip in batch])
                frames = prepare(crops, preprocessing.mean, preprocessing.std)
            with clock("model"):
                scores = self.session.run({"clip": frames.reshape(len(batch), length, *frames.shape[1:])})["scores"]
            if not np.isfinite(scores).all():
                raise BackendError(
                    f"the model answered NaN or infinity in {self.info.where}; "
                    "its weights are broken, or its precision is too low: try another backend or folder"
                )
            for clip, rows in zip(batch, scores, strict=True):
                yield clip, np.clip(rows[: len(clip.indices)], 0.0, 1.0)

    def face(self, track_id: int, face: Face, probabilities: NDArray[np.float32]) -> FaceResult:
        """Name the probabilities (N,) and decide."""
        pairs = zip(self.thresholds.items(), probabilities, strict=True)
        aus = {code: AUScore(code, float(p), bool(p >= threshold)) for (code, threshold), p in pairs}
        return FaceResult(track_id, face.box_px, face.landmarks_px, aus)


@dataclass(frozen=True)
class Pending:
    """A frame that waits for the scores of its faces; the image only if it is to be kept."""

    source: str
    index: int
    timestamp_s: float
    faces: dict[int, Face]
    image: NDArray[np.uint8] | None


class ClipPipeline:
    """Clip mode for one source: frames go in, and come out in the same order once all their faces are scored."""

    def __init__(self, scorer: Scorer, mesher: FaceMesher, clock: StageClock, keep_images: bool) -> None:
        self._scorer = scorer
        self._mesher = mesher
        self._clock = clock
        self._keep_images = keep_images
        self._tracker = Tracker()
        self._assembler = ClipAssembler(scorer.config.clip_length)
        self._waiting: deque[Pending] = deque()
        self._scores: dict[tuple[int, int], NDArray[np.float32]] = {}  # (frame index, track id) -> (N,)

    def push(self, frame: Frame) -> Iterator[FrameResult]:
        """Take the next frame; yields the results that are now complete, of this frame or earlier ones."""
        with self._clock("faces"):
            found = self._mesher.find(frame.image)
            faces = dict(sorted(zip(self._tracker.update(found, frame.timestamp_s), found, strict=True)))
        with self._clock("align"):
            crops = {
                track_id: crop for track_id, face in faces.items() if (crop := self._crop(frame, face)) is not None
            }
        faces = {track_id: faces[track_id] for track_id in crops}
        image = frame.image.copy() if self._keep_images else None  # its producer may reuse the buffer
        self._waiting.append(Pending(frame.source, frame.index, frame.timestamp_s, faces, image))
        yield from self._finish(self._assembler.push(frame.index, crops))

    def flush(self) -> Iterator[FrameResult]:
        """The source has ended; yields the rest."""
        yield from self._finish(self._assembler.flush())

    def _finish(self, clips: list[Clip]) -> Iterator[FrameResult]:
        for clip, rows in self._scorer.score(clips, self._clock):
            self._scores.update(((index, clip.track_id), row) for index, row in zip(clip.indices, rows, strict=True))
        while self._waiting:
            frame = self._waiting[0]
            if any((frame.index, track_id) not in self._scores for track_id in frame.faces):
                return
            self._waiting.popleft()
            faces = tuple(
                self._scorer.face(i, face, self._scores.pop((frame.index, i))) for i, face in frame.faces.items()
            )
            yield FrameResult(frame.source, frame.index, frame.timestamp_s, faces, self._scorer.info, frame.image)

    def _crop(self, frame: Frame, face: Face) -> NDArray[np.uint8] | None:
        """The aligned crop, or None for a mesh too degenerate to align: such a face counts as not found."""
        preprocessing = self._scorer.config.preprocessing
        try:
            return align(frame.image, face.landmarks_px, preprocessing.template, preprocessing.size_px)
        except InputError:
            return None
