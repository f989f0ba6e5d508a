"""What the detector says about a frame. Plain values: no image library, no model."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .measures import FaceMeasures

Baseline = Literal["off", "neutral", "applied", "missing"]
STATUS: dict[Baseline, str] = {"off": "ok", "neutral": "neutral", "applied": "ok", "missing": "no_baseline"}
SourceState = Literal["connecting", "live", "stale", "lost", "reconnecting", "ended"]


@dataclass(frozen=True)
class ModelInfo:
    """Which model gave a result.

    Attributes:
        trained: False for random weights, whose scores mean nothing.
        trained_on: what the weights learnt from, if every result must say so.
        tiers: code -> how reliable its scores are, 'A' (most) to 'C'; empty if they were never rated.
        off: codes that the model scores but results leave out.
        neutral_s: seconds at the beginning of each source that its scores are relative to; 0 for none.
        lookahead: how many frames later a frame was scored in stream mode; None for clip mode.
        replaced: code -> threshold, for those that replace the model's own.
        smooth_hz: cutoff in Hz of the filter that smoothed its scores; 0 for none.
        faces: the engine that found the faces, as 'solutions'; empty if that is not known.
        intensities: codes of the reported AUs that have an intensity.
    """

    name: str
    label_set: str
    backbone: str
    backend: str
    device: str
    trained: bool
    licence: str = ""
    precision: str = "fp32"
    trained_on: str = ""
    tiers: Mapping[str, str] = field(default_factory=dict, hash=False)
    off: tuple[str, ...] = ()
    neutral_s: float = 0.0
    lookahead: int | None = None
    replaced: Mapping[str, float] = field(default_factory=dict, hash=False)
    smooth_hz: float = 0.0
    faces: str = field(default="", compare=False)  # another engine is no other model
    intensities: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """Short text that every output carries, e.g. 'bp4d resnet18 (untrained)'."""
        return self._with(self.note, self._relative, self._smoothed)

    @property
    def note(self) -> str:
        """What a reader of the scores must know about the weights; '' if nothing."""
        return "untrained" if not self.trained else f"trained on {self.trained_on}" if self.trained_on else ""

    @property
    def reliability(self) -> str:
        """The tiers in words, e.g. 'reliability A: AU01 AU12; B: AU04; off: AU07'; '' if there are none."""
        on: dict[str, list[str]] = {tier: [] for tier in sorted(set(self.tiers.values()))}
        for code, tier in self.tiers.items():
            on[tier] += [] if code in self.off else [code]
        words = [f"{tier}: {' '.join(codes)}" for tier, codes in on.items() if codes]
        words += [f"off: {' '.join(self.off)}"] if self.off else []
        return f"reliability {'; '.join(words)}" if self.tiers else ""

    @property
    def details(self) -> str:
        """What every row of a table carries: the model's name and kind, and how its scores and decisions were made."""
        mode = "" if self.lookahead is None else f"stream, lookahead {self.lookahead}"
        own = ", ".join(f"{code} from {value!r}" for code, value in self.replaced.items())
        return f"{self.name}: {self._with(self.note, mode, self._relative, self._smoothed, own, self.reliability)}"

    def label(self, code: str) -> str:
        """A code as pictures show it: with its tier if it has one, as in 'AU12 A'."""
        return f"{code} {self.tiers[code]}" if code in self.tiers else code

    @property
    def _relative(self) -> str:
        return f"relative to the first {self.neutral_s:g} s" if self.neutral_s else ""

    @property
    def _smoothed(self) -> str:
        return f"smoothed from {self.smooth_hz:g} Hz" if self.smooth_hz else ""

    def _with(self, *notes: str) -> str:
        told = "; ".join(filter(None, notes))
        return f"{self.label_set} {self.backbone}" + (f" ({told})" if told else "")

    @property
    def where(self) -> str:
        """What runs it, e.g. 'onnxruntime fp32 on cpu'."""
        return f"{self.backend} {self.precision} on {self.device}"


@dataclass(frozen=True)
class AUScore:
    """One AU of one face: probability in [0, 1], the decision at its threshold, and intensity in [0, 5] or None."""

    code: str
    probability: float
    occurrence: bool
    intensity: float | None = None


@dataclass(frozen=True, eq=False)
class FaceResult:
    """One face in one frame.

    Attributes:
        track_id: stays with a face until it is missing, or time jumps, for more than a second, or the scene is cut;
            0, 1, ... in order of appearance.
        box_px: x0, y0, x1, y1 in pixels of the frame.
        landmarks_px: (478, 3) float32, MediaPipe's mesh; x and y in pixels, z on the same scale.
        aus: by code ('AU12'), in the model's order. `face["AU12"]` is the short way.
        baseline: what the neutral reference did to the scores. 'off': none was asked for. 'neutral': the frame belongs
            to the neutral seconds and is as the model scored it. 'applied': the scores are relative. 'missing': this
            face has no reference, for example because it came later.
        measures: pose, gaze and quality, if `measures=True` asked for them.
        neutral_known: in [0, 1], how far the geometry of the mesh knew this person's face at rest: 0 for a face that is
            new, about 0.9 after three seconds at rest; always 0 for a model without geometry.
    """

    track_id: int
    box_px: tuple[float, float, float, float]
    landmarks_px: NDArray[np.float32] = field(repr=False)
    aus: Mapping[str, AUScore]
    baseline: Baseline = "off"
    measures: FaceMeasures | None = None
    neutral_known: float = 0.0

    def __getitem__(self, code: str) -> AUScore:
        if code not in self.aus:
            number = re.fullmatch(r"(?:au)?\s*(\d{1,2})", str(code).strip().lower())
            meant = f"AU{int(number[1]):02d}" if number else ""
            hint = f"; write {meant!r}" if meant in self.aus and meant != code else ""
            raise KeyError(
                f"{code!r} is not scored here{hint}; scored are {', '.join(self.aus)} (AUs of tier C only with "
                "all_aus=True)"
            )
        return self.aus[code]

    @property
    def status(self) -> str:
        """What its row says: why it is not to be trusted, if it was measured, or what `baseline` means."""
        reason = "" if self.measures is None or self.baseline == "neutral" else self.measures.reason
        return reason or STATUS[self.baseline]

    @property
    def active(self) -> tuple[str, ...]:
        """Codes of the AUs that occur."""
        return tuple(code for code, score in self.aus.items() if score.occurrence)


@dataclass(frozen=True)
class AUEvent:
    """An action unit that came, and went, in one face.

    Onset and offset are the first and the last frame in which it occurs, the apex the one of its peak. Between them the
    decision may be 0 in some frames, as long as the probability stays near its threshold. See `EventRule`.

    Attributes:
        source: name of the video or camera.
        track_id: of the face.
        au: code, as 'AU12'.
        onset_frame, apex_frame, offset_frame: as `FrameResult.index`.
        onset_s, apex_s, offset_s: as `FrameResult.timestamp_s`.
        peak_probability: the greatest probability, that of the apex.
        onset_cut: it occurs in the first frame of its face, so it may have begun before.
        offset_cut: it occurs in the last frame of its face, so it may have gone on.
        peak_intensity: the greatest intensity, in [0, 5], of the frames in which it occurs; None for an AU without one.
    """

    source: str
    track_id: int
    au: str
    onset_frame: int
    apex_frame: int
    offset_frame: int
    onset_s: float
    apex_s: float
    offset_s: float
    peak_probability: float
    onset_cut: bool = False
    offset_cut: bool = False
    peak_intensity: float | None = None

    def row(self) -> dict[str, object]:
        """A flat record: what CSV files hold; without `peak_intensity` for an AU that has none."""
        known = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        whole = {name: int(value) if isinstance(value, bool) else value for name, value in known.items()}
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in whole.items()}


@dataclass(frozen=True)
class SourceStatus:
    """How a source is doing, and how far it is read.

    Attributes:
        captured: frames that were read. At the end `scored + dropped`; before that, some still wait.
        scored: frames whose result was given.
        dropped: frames that gave no result, the sum of `dropped_by`.
        ended: it came to its end or broke off; False if the run was left before.
        error: why it broke off; None if it did not.
        name: as `FrameResult.source`.
        state: 'connecting' until its first frame. Then 'live'; 'stale' while nothing new comes, for at least a second;
            'lost' when it broke off and is not asked again yet; 'reconnecting'; 'ended'. A file that is read is 'live'.
        reason: why it is in this state, in one line; '' if there is nothing to tell.
        since: UTC of the last change of state.
        reconnects: how often it came back after it was lost.
        dropped_by: reason -> frames. 'newer': a newer frame came before it was scored. 'unread': it was scored, and a
            newer result came before the loop took it. 'start', 'stall': it had waited somewhere before the source was
            open, or while nothing came. 'same': it repeats the one before. 'left': it waited when the run was left.
        fps_in: frames captured a second, over the last two seconds.
        fps_out: results a second, over the last two seconds.
    """

    captured: int = 0
    scored: int = 0
    dropped: int = 0
    ended: bool = False
    error: BaseException | None = None
    name: str = ""
    state: SourceState = "connecting"
    reason: str = ""
    since: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    reconnects: int = 0
    dropped_by: Mapping[str, int] = field(default_factory=dict, hash=False)
    fps_in: float = 0.0
    fps_out: float = 0.0


@dataclass(eq=False)
class Ending:
    """How a source ended, as far as is known; shared by all its results.

    Attributes:
        broken_off: it was not read to its end.
        events: those that were still open when it ended, or was left.
    """

    broken_off: bool = False
    events: tuple[AUEvent, ...] = ()


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One frame of a source, with every face found in it.

    Attributes:
        source: name of the video, image or camera.
        index: frame number in the source, from 0.
        timestamp_s: the container's presentation time; for a camera, seconds since it was opened.
        faces: by track id; empty when no face was found.
        model: which model scored it.
        image: (H, W, 3) uint8 BGR when images were asked for, else None.
        delay_frames: how many later frames of the source were taken before this one was scored.
        delay_ms: milliseconds from reading the frame (of a live source: from its arrival) to its result. Frames of a
            video file are read ahead, and their wait counts too.
        note: '' or 'damaged': data was lost before this frame, and the picture may show it.
        dropped: frames of a live source that were dropped between the previous result and this one.
        faces_seen: faces found in the frame, with those beyond `max_faces`.
        untrusted: faces that were left out because their quality is below `min_quality`.
        fps: frames per second of the source, as declared; 0.0 for stills, and if the device or container does not say.
        ending: whether the source broke off, once that is known; sinks then mark their files as incomplete. It also
            holds the events that were open at the source's end.
        events: those that ended, which is known some frames after their offset.
        captured_at: of a live source, when the frame arrived at this machine, UTC; None for files.
        stream_time_s: of a live stream with a clock of its own, the frame's time by that clock; else None.
        stale: a live source gave the same picture, or nothing, for at least a second. `faces` is empty then, and the
            image is the last one that came.
        faces_left_out: faces that were found and not asked for: another person, or outside of the region.
    """

    source: str
    index: int
    timestamp_s: float
    faces: tuple[FaceResult, ...]
    model: ModelInfo
    image: NDArray[np.uint8] | None = field(default=None, repr=False)
    delay_frames: int = 0
    delay_ms: float = 0.0
    note: str = ""
    dropped: int = 0
    faces_seen: int = 0
    untrusted: int = 0
    fps: float = 0.0
    ending: Ending = field(default_factory=Ending, repr=False)
    events: tuple[AUEvent, ...] = ()
    captured_at: datetime | None = None
    stream_time_s: float | None = None
    stale: bool = False
    faces_left_out: int = 0

    @property
    def status(self) -> str:
        """'ok', 'no_face' for a frame without a face, 'low_quality' if all were left out for that, or 'stale'."""
        return "stale" if self.stale else "ok" if self.faces else "low_quality" if self.untrusted else "no_face"

    def annotate(self) -> NDArray[np.uint8]:
        """The image with every face's box, track id and scores, and the frame's time, as in overlays.

        Returns:
            (H, W, 3) uint8 BGR, a copy; `image` stays as it is.

        Raises:
            InputError: the result holds no image.
        """
        from .outputs.pictures.overlay import annotate

        if self.image is None:
            raise InputError(
                f"an overlay needs each result's image, but frame {self.index} of '{self.source}' has none; "
                "keep images with images=True, as in detector.predict(source, images=True)"
            )
        return annotate(self.image, self)

    def rows(self) -> Iterator[dict[str, object]]:
        """One flat record per face, or one for a frame without a face: what CSV files and data frames hold.

        With a neutral reference, scores of status 'ok' are relative to it, others as they came. Frames of live sources
        also tell `captured_at` ('2026-11-30T15:24:00.123Z'), `delay_ms` and `dropped`, measured faces `FaceMeasures`.
        """
        head = {"source": self.source, "frame": self.index, "timestamp_s": round(self.timestamp_s, 6)}
        if self.captured_at is not None:
            at = self.captured_at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
            head |= {"captured_at": at, "delay_ms": round(self.delay_ms, 3), "dropped": self.dropped}
        note, tail = {"note": self.note}, {"model": self.model.details}
        if not self.faces:
            yield {**head, "status": self.status, **note, **tail}
        for face in self.faces:
            box = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), (round(v, 2) for v in face.box_px), strict=True))
            scores: dict[str, object] = {}
            for code, score in face.aus.items():
                scores[f"{code}_probability"] = round(score.probability, 6)
                scores[f"{code}_occurrence"] = int(score.occurrence)
                scores |= {} if score.intensity is None else {f"{code}_intensity": round(score.intensity, 4)}
            scores |= {} if face.measures is None else face.measures.row()
            yield {**head, "status": face.status, **note, "track_id": face.track_id, **box, **scores, **tail}
