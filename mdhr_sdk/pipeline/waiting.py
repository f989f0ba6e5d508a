"""One source on its way through faces, tracks, crops and scores."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..results import Baseline, FrameResult
from ..vision import Face, FaceMesher
from .clock import StageClock
from .crops import Finder, Found
from .decide import Naming
from .neutral import NeutralBaseline
from .scoring import Scored, Scoring


@dataclass(frozen=True)
class Pending:
    """A frame that waits for the scores of its faces; the image only if it is to be kept."""

    source: str
    index: int
    timestamp_s: float
    faces: dict[int, Face]
    image: NDArray[np.uint8] | None
    read_s: float  # as in `Frame`


class Waiting:
    """The frames of one source that wait for scores: they come out in order, once all their faces are scored."""

    def __init__(self, naming: Naming, clock: StageClock, keep_images: bool) -> None:
        self._naming = naming
        self._clock = clock
        self._keep_images = keep_images
        self._baseline = NeutralBaseline(naming.info.neutral_s) if naming.info.neutral_s else None
        self._waiting: deque[Pending] = deque()
        self._scores: dict[tuple[int, int], NDArray[np.float32]] = {}  # (frame index, track id) -> (N,)
        self._newest = 0

    def take(self, found: Found) -> dict[int, NDArray[np.uint8]]:
        """Take the next frame; returns track id -> aligned crop (S, S, 3), uint8 BGR, of each face in it."""
        frame = found.frame
        with self._clock("align"):
            cut_out = {track_id: self._naming.crop(frame, face) for track_id, face in found.faces.items()}
        crops = {track_id: crop for track_id, crop in cut_out.items() if crop is not None}
        faces = {track_id: found.faces[track_id] for track_id in crops}
        image = frame.image.copy() if self._keep_images else None  # its producer may reuse the buffer
        self._newest = frame.index
        self._waiting.append(Pending(frame.source, frame.index, frame.timestamp_s, faces, image, frame.read_s))
        return crops

    def give(self, scores: Iterable[Scored]) -> Iterator[FrameResult]:
        """Take scores; yields the results that are now complete."""
        self._scores.update(((one.index, one.track_id), one.probabilities) for one in scores)
        while self._waiting:
            frame = self._waiting[0]
            if any((frame.index, track_id) not in self._scores for track_id in frame.faces):
                return
            self._waiting.popleft()
            yield self._result(frame)

    def _result(self, frame: Pending) -> FrameResult:
        scores = {track_id: self._scores.pop((frame.index, track_id)) for track_id in frame.faces}
        told: dict[int, tuple[NDArray[np.float32], Baseline]] = {i: (row, "off") for i, row in scores.items()}
        if self._baseline is not None:
            told = self._baseline.correct(frame.timestamp_s, scores)
        return FrameResult(
            frame.source,
            frame.index,
            frame.timestamp_s,
            tuple(self._naming.face(i, face, *told[i]) for i, face in frame.faces.items()),
            self._naming.info,
            frame.image,
            delay_frames=self._newest - frame.index,
            delay_ms=1e3 * (time.perf_counter() - frame.read_s),
        )


class Pipeline:
    """One source: frames go in, and come out in the same order once all their faces are scored.

    `find` may run in another thread than the rest, some frames ahead of it.
    """

    def __init__(
        self, scoring: Scoring, naming: Naming, mesher: FaceMesher, clock: StageClock, keep_images: bool
    ) -> None:
        self.find = Finder(mesher, clock).find
        self._scoring = scoring
        self._waiting = Waiting(naming, clock, keep_images)

    def push(self, found: Found) -> Iterator[FrameResult]:
        """Take what was found in the next frame; yields the results that are now complete, of it or earlier ones."""
        crops = self._waiting.take(found)
        yield from self._waiting.give(self._scoring.push(found.frame.index, crops))

    def flush(self) -> Iterator[FrameResult]:
        """The source has ended; yields the rest."""
        yield from self._waiting.give(self._scoring.flush())
