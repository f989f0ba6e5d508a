"""From probabilities to named action units, decisions and results."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...arguments import is_number
from ...errors import ConfigError, InputError
from ...measures import FaceMeasures
from ...modelfolder.config import EventRule, Preprocessing
from ...results import AUScore, Baseline, Ending, FaceResult, FrameResult, ModelInfo
from ...vision import Face, SourceInfo
from ...vision.faces.measures import measure
from ..crops import Found
from ..scoring import Crop, Scored
from .events import EventFinder
from .geometry import Floats, GeometryModel, GeometryRead, OwnNeutral, logit
from .intensity import MOST, IntensityModel, given
from .neutral import Calibration, NeutralBaseline
from .smoothing import OneEuro

_NO_IMAGE = np.empty((0, 0, 3), np.uint8)


def check_quality(least: float) -> float:
    """`least`, or ConfigError if it is no quality."""
    if not is_number(least) or not 0 <= least <= 1:
        raise ConfigError(f"min_quality must be in [0, 1]; got {least!r}")
    return least


@dataclass(frozen=True)
class Naming:
    """From probabilities to named action units.

    Attributes:
        info: the model that gave them.
        thresholds: code -> probability from which the AU occurs, in the model's order.
        preprocessing: how the model wants its crops.
        places: indices of the reported AUs among the model's N scores; None for all.
        events: how events are found.
        measures: measure each face's pose, gaze and quality.
        min_quality: leave out faces of less quality, 0 to 1, which are measured then.
        geometry: what reads the meshes beside the network; None for a model without geometry.
        intensity: what tells how strong movements are; None for a model without it. It needs geometry.

    Raises:
        ConfigError: a quality outside 0 to 1.
    """

    info: ModelInfo
    thresholds: Mapping[str, float]
    preprocessing: Preprocessing
    places: tuple[int, ...] | None = None
    events: EventRule = field(default_factory=EventRule)
    measures: bool = False
    min_quality: float = 0.0
    geometry: GeometryModel | None = None
    intensity: IntensityModel | None = None

    def __post_init__(self) -> None:
        check_quality(self.min_quality)

    def check(self, source: SourceInfo) -> None:
        """Raise InputError for a still if neutral seconds are wanted."""
        if self.info.neutral_s and source.still:
            raise InputError(f"calibrate_neutral_s needs a video, and '{source.name}' is a still")

    def face(
        self,
        track_id: int,
        face: Face,
        probabilities: NDArray[np.float32],
        baseline: Baseline = "off",
        measures: FaceMeasures | None = None,
        neutral_known: float = 0.0,
        strengths: NDArray[np.floating] | None = None,
    ) -> FaceResult:
        """Name the probabilities (N,) and decide; `strengths` (N,) are intensities as shares of the most."""
        # In float64: NumPy 2 would round the threshold to the score's float32, NumPy 1 not.
        kept = self._reported(probabilities)
        strong: Sequence[float | None] = [None] * len(kept) if strengths is None else self._reported(strengths)
        told = self.info.intensities
        aus = {
            code: AUScore(code, p, p >= threshold, None if s is None or code not in told else MOST * s)
            for (code, threshold), p, s in zip(self.thresholds.items(), kept, strong, strict=True)
        }
        return FaceResult(track_id, face.box_px, face.landmarks_px, aus, baseline, measures, neutral_known)

    def _reported(self, values: NDArray[np.floating]) -> list[float]:
        """Those of the reported AUs, of (N,)."""
        every: list[float] = values.tolist()
        return every if self.places is None else [every[place] for place in self.places]

    def measured(self, found: Found, crops: Mapping[int, Crop]) -> dict[int, FaceMeasures]:
        """Track id -> measures of the faces that have crops; none if they are not wanted, or of a broken mesh."""
        if not (self.measures or self.min_quality):
            return {}
        size_px, measured = found.frame.image.shape[1::-1], {}
        for track_id, crop in crops.items():
            with suppress(InputError):
                measured[track_id] = measure(found.faces[track_id].landmarks_px, crop, size_px)
        return measured

    def trusts(self, measures: FaceMeasures | None) -> bool:
        """Whether a face is good enough to be scored, and to teach what the person looks like at rest."""
        return not self.min_quality or (measures is not None and measures.quality >= self.min_quality)


class Waiting:
    """The frames of one source that wait for scores; they come out in order, once all their faces are scored."""

    def __init__(self, naming: Naming, keep_images: bool, fps: float = 0.0) -> None:
        self._naming = naming
        self._keep_images = keep_images
        self._fps = fps
        smooth_hz = naming.info.smooth_hz
        self._smoother = OneEuro(smooth_hz) if smooth_hz else None
        self._strength_smoother = OneEuro(smooth_hz) if smooth_hz else None
        self._baseline = NeutralBaseline(naming.info.neutral_s or None)
        self._calibrations: deque[Calibration] = deque()  # that were asked for, from any thread
        self._own_neutral = None if naming.geometry is None else OwnNeutral(naming.geometry)
        self._geometry: dict[tuple[int, int], GeometryRead] = {}  # (frame index, track id)
        self._events = EventFinder(naming.thresholds, naming.events)
        self._waiting: deque[Found] = deque()  # without pictures, unless they are kept
        self._scores: dict[tuple[int, int], NDArray[np.float32]] = {}  # (frame index, track id) -> (N,)
        self._measured: dict[int, dict[int, FaceMeasures]] = {}  # frame index -> track id -> of the face
        self._newest = 0
        self.ending = Ending()

    def take(self, found: Found, crops: Mapping[int, Crop]) -> None:
        """Take the next frame and the crops of its faces; a face without a crop counts as not found."""
        frame = found.frame
        image = frame.image.copy() if self._keep_images else _NO_IMAGE  # its producer may reuse the buffer
        self._newest = frame.index
        measured = self._naming.measured(found, crops)
        if measured:
            self._measured[frame.index] = measured
        faces = {track_id: found.faces[track_id] for track_id in crops}
        self._waiting.append(Found(replace(frame, image=image), faces, found.seen, found.left_out))
        if self._own_neutral is not None:
            trusted = {i: face for i, face in faces.items() if self._naming.trusts(measured.get(i))}
            reads = self._own_neutral.take(frame.timestamp_s, trusted)
            self._geometry.update(((frame.index, track_id), read) for track_id, read in reads.items())

    def give(self, scores: Iterable[Scored]) -> Iterator[FrameResult]:
        """Take scores; yields the results that are now complete."""
        self._scores.update(((one.index, one.track_id), one.probabilities) for one in scores)
        while self._waiting:
            pending = self._waiting[0]
            if any((pending.frame.index, track_id) not in self._scores for track_id in pending.faces):
                return
            self._waiting.popleft()
            yield self._result(pending)

    def end(self, scores: Iterable[Scored], broken_off: bool) -> Iterator[FrameResult]:
        """Take the last scores, as `give` does, and tell the results how the source ended."""
        self.ending.broken_off = broken_off
        try:
            yield from self.give(scores)
        finally:
            self.leave()

    def calibrate(self, calibration: Calibration) -> None:
        """Take the neutral seconds of a face, or of all, from the next frame on; from any thread."""
        self._calibrations.append(calibration)

    def leave(self) -> None:
        """No result follows: events that are open end with the last one."""
        self.ending.events = self._events.end()

    def _strengths(self, reads: Mapping[int, GeometryRead], said: Mapping[int, Floats]) -> dict[int, Floats]:
        """Track id -> intensities (N,) as shares of the most, by the logits of scores that are not combined yet.

        None without a model.
        """
        model, own = self._naming.intensity, self._own_neutral
        if model is None or own is None:
            return {}
        return {
            i: model.strengths(given(row, reads[i].logits, own.moved(i, reads[i], row), reads[i].known))
            for i, row in said.items()
        }

    def _with_geometry(
        self, index: int, scores: dict[int, NDArray[np.float32]]
    ) -> tuple[dict[int, NDArray[np.float32]], Mapping[int, NDArray[np.floating]], dict[int, float]]:
        """Of a frame: scores, intensities as shares of the most, and how far faces at rest are known, by track id."""
        if self._own_neutral is None:
            return scores, {}, dict.fromkeys(scores, 0.0)
        reads = {track_id: self._geometry.pop((index, track_id)) for track_id in scores}
        said = {track_id: logit(row) for track_id, row in scores.items()}
        strengths = self._strengths(reads, said)
        combined = {i: self._own_neutral.combine(i, reads[i], row, said[i]) for i, row in scores.items()}
        return combined, strengths, {i: read.known for i, read in reads.items()}

    def _result(self, pending: Found) -> FrameResult:
        frame = pending.frame
        scores = {track_id: self._scores.pop((frame.index, track_id)) for track_id in pending.faces}
        measured = self._measured.pop(frame.index, {})
        scores = {i: row for i, row in scores.items() if self._naming.trusts(measured.get(i))}
        scores, strengths, known = self._with_geometry(frame.index, scores)
        if self._smoother is not None and self._strength_smoother is not None:
            scores = self._smoother.smooth(frame.timestamp_s, scores, frame.breaks)
            strengths = self._strength_smoother.smooth(frame.timestamp_s, strengths, frame.breaks)
        while self._calibrations:
            self._baseline.calibrate(self._calibrations.popleft())
        told = self._baseline.correct(frame.timestamp_s, scores, frame.read_s)
        faces = tuple(
            self._naming.face(i, pending.faces[i], *told[i], measured.get(i), known[i], strengths.get(i))
            for i in pending.faces if i in told
        )  # fmt: skip
        return FrameResult(
            frame.source,
            frame.index,
            frame.timestamp_s,
            faces,
            self._naming.info,
            frame.image if self._keep_images else None,
            delay_frames=self._newest - frame.index,
            delay_ms=1e3 * (time.perf_counter() - frame.read_s),
            note=frame.note,
            dropped=frame.dropped,
            faces_seen=pending.seen,
            faces_left_out=pending.left_out,
            untrusted=len(pending.faces) - len(faces),
            fps=self._fps,
            ending=self.ending,
            events=self._events.take(frame, faces),
            captured_at=frame.captured_at,
            stream_time_s=frame.stream_time_s,
            stale=frame.stale,
        )
