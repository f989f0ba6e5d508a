"""One source on its way through faces, tracks, crops and scores."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..results import Baseline, FrameResult
from ..vision import Face, FaceMesher, Frame
from .clock import StageClock
from .crops import CropFinder, Found
from .decide import Naming
from .neutral import NeutralBaseline
from .scoring import Crop, Scored, Scoring

_NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Pending:
    """A frame that waits for the scores of its faces; its image is empty unless it is to be kept."""

    frame: Frame
    faces: dict[int, Face]
    seen: int


class Waiting:
    """The frames of one source that wait for scores: they come out in order, once all their faces are scored."""

    def __init__(self, naming: Naming, keep_images: bool) -> None:
        self._naming = naming
        self._keep_images = keep_images
        self._baseline = NeutralBaseline(naming.info.neutral_s) if naming.info.neutral_s else None
        self._waiting: deque[Pending] = deque()
        self._scores: dict[tuple[int, int], NDArray[np.float32]] = {}  # (frame index, track id) -> (N,)
        self._newest = 0

    def take(self, found: Found, crops: Mapping[int, Crop]) -> None:
        """Take the next frame and the crops of its faces; one without a crop counts as not found."""
        frame = found.frame
        image = frame.image.copy() if self._keep_images else _NO_IMAGE  # its producer may reuse the buffer
        self._newest = frame.index
        faces = {track_id: found.faces[track_id] for track_id in crops}
        self._waiting.append(Pending(replace(frame, image=image), faces, found.seen))

    def give(self, scores: Iterable[Scored]) -> Iterator[FrameResult]:
        """Take scores; yields the results that are now complete."""
        self._scores.update(((one.index, one.track_id), one.probabilities) for one in scores)
        while self._waiting:
            pending = self._waiting[0]
            if any((pending.frame.index, track_id) not in self._scores for track_id in pending.faces):
                return
            self._waiting.popleft()
            yield self._result(pending)

    def _result(self, pending: Pending) -> FrameResult:
        frame = pending.frame
        scores = {track_id: self._scores.pop((frame.index, track_id)) for track_id in pending.faces}
        told: dict[int, tuple[NDArray[np.float32], Baseline]] = {i: (row, "off") for i, row in scores.items()}
        if self._baseline is not None:
            told = self._baseline.correct(frame.timestamp_s, scores)
        return FrameResult(
            frame.source,
            frame.index,
            frame.timestamp_s,
            tuple(self._naming.face(i, face, *told[i]) for i, face in pending.faces.items()),
            self._naming.info,
            frame.image if self._keep_images else None,
            delay_frames=self._newest - frame.index,
            delay_ms=1e3 * (time.perf_counter() - frame.read_s),
            note=frame.note,
            dropped=frame.dropped,
            faces_seen=pending.seen,
        )


class Pipeline:
    """One source: frames go in, and come out in the same order once all their faces are scored.

    `find` may run in another thread than the rest, some frames ahead of it.
    """

    def __init__(
        self, scoring: Scoring, naming: Naming, mesher: FaceMesher, clock: StageClock, keep_images: bool
    ) -> None:
        self._finder = CropFinder(mesher, naming.preprocessing, clock)
        self.find = self._finder.find
        self._scoring = scoring
        self._waiting = Waiting(naming, keep_images)

    def push(self, found: Found) -> Iterator[FrameResult]:
        """Take what was found in the next frame; yields the results that are now complete, of it or earlier ones."""
        crops = self._finder.crops(found)
        self._waiting.take(found, crops)
        yield from self._waiting.give(self._scoring.push(found.frame.index, crops))

    def flush(self) -> Iterator[FrameResult]:
        """The source has ended; yields the rest."""
        yield from self._waiting.give(self._scoring.flush())
