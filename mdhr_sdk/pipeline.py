"""One source on its way through faces, tracks, crops and scores."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .baseline import NeutralBaseline
from .clock import StageClock
from .errors import InputError
from .modelfolder.config import Preprocessing
from .results import AUScore, Baseline, FaceResult, FrameResult, ModelInfo
from .scoring import Scored, Scoring
from .vision import CutDetector, Face, FaceMesher, Frame, Source, Tracker, align


@dataclass(frozen=True)
class Naming:
    """From probabilities to named action units.

    Attributes:
        info: the model that gave them.
        thresholds: code -> probability from which the AU occurs, in the model's order.
        preprocessing: how the model wants its crops.
        places: of these AUs among the model's N scores; None where they are all.
    """

    info: ModelInfo
    thresholds: Mapping[str, float]
    preprocessing: Preprocessing
    places: tuple[int, ...] | None = None

    def check(self, source: Source) -> None:
        """Refuse an open source that has no neutral seconds, with InputError, where they are wanted."""
        if self.info.neutral_s and source.info.still:
            raise InputError(f"calibrate_neutral_s needs a video, and '{source.name}' is a still")

    def face(
        self, track_id: int, face: Face, probabilities: NDArray[np.float32], baseline: Baseline = "off"
    ) -> FaceResult:
        """Name the probabilities (N,) and decide."""
        kept = probabilities if self.places is None else probabilities[list(self.places)]
        pairs = zip(self.thresholds.items(), kept, strict=True)
        aus = {code: AUScore(code, float(p), bool(p >= threshold)) for (code, threshold), p in pairs}
        return FaceResult(track_id, face.box_px, face.landmarks_px, aus, baseline)

    def crop(self, frame: Frame, face: Face) -> NDArray[np.uint8] | None:
        """The aligned crop, or None for a mesh too degenerate to align: such a face counts as not found."""
        try:
            return align(frame.image, face.landmarks_px, self.preprocessing.template, self.preprocessing.size_px)
        except InputError:
            return None


@dataclass(frozen=True)
class Pending:
    """A frame that waits for the scores of its faces; the image only if it is to be kept."""

    source: str
    index: int
    timestamp_s: float
    faces: dict[int, Face]
    image: NDArray[np.uint8] | None
    read_s: float  # as in `Frame`


@dataclass(frozen=True)
class Found:
    """A frame whose faces were looked for.

    Attributes:
        faces: track id -> face.
    """

    frame: Frame
    faces: dict[int, Face]


class Finder:
    """Finds the faces of one source's frames and follows them.

    A cut ends all tracks, so that no clip or stream holds frames of two scenes.
    """

    def __init__(self, mesher: FaceMesher, clock: StageClock) -> None:
        self._mesher = mesher
        self._clock = clock
        self._tracker = Tracker()
        self._cuts = CutDetector()

    def find(self, frame: Frame) -> Found:
        """Take the next frame."""
        with self._clock("faces"):
            if self._cuts.is_cut(frame.image):
                self._tracker.reset()
                self._mesher.reset()
            found = self._mesher.find(frame.image)
            faces = dict(sorted(zip(self._tracker.update(found, frame.timestamp_s), found, strict=True)))
        return Found(frame, faces)

    def close(self) -> None:
        """Close the face models: no frames follow."""
        self._mesher.close()


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
