"""What a timeline draws of one source, kept while it is read, in memory that does not grow with its length."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from itertools import repeat

import numpy as np

from ...aus import LABEL_SETS
from ...errors import InputError
from ...results import FaceResult, FrameResult, ModelInfo
from .series import Series, Values, reduced

MOST = 12_000  # points of a curve, a multiple of four; the page shows 1,500
RUNS = 10  # of frames that become points at once, which takes hardly longer than with one
MOST_TRACKS = 500  # faces whose curves are kept where there are many; the briefest go first
ENDED_S = 5.0  # a face that was missing for so long has a new id when it is back
ABSENT = None  # in the place of a track: whether the frame has no face
Row = tuple[Iterable[float], Iterable[float], Iterable[int]]  # probability, intensity, occurrence of each AU


class Trace:
    """The scores of one source over time, in memory that does not grow with its length.

    The first `MOST` frames are kept as they are. Then each run of frames becomes two points, as `reduced` makes them,
    so no peak and no decision is lost. Runs are twice as long each time there are `MOST` points again.

    Attributes:
        first: the first frame.
        frames: how many were added.
        begin_s, end_s: the least and the greatest time.
        neutral_s: times of the first and the last frame of the neutral seconds; None if there are none.
        left_out: faces whose curves were dropped: of more than twice `MOST_TRACKS`, the briefest that were gone.

    Args:
        frames: to begin with, in their order.
    """

    def __init__(self, frames: Iterable[FrameResult] = ()) -> None:
        self.first: FrameResult | None = None
        self.frames = 0
        self.begin_s, self.end_s = math.inf, -math.inf
        self.neutral_s: tuple[float, float] | None = None
        self.left_out = 0
        self._sets: set[tuple[str, ...]] = set()  # of AUs
        self._kept, self._run = _Points(), _Points()
        self._run_frames = 1  # that become two points; one frame stays one point
        self._seen_s: dict[int, float] = {}  # track id -> when it was seen last
        for frame in frames:
            self.add(frame)

    def __len__(self) -> int:
        return self.frames

    @property
    def codes(self) -> tuple[str, ...]:
        """The AU codes of the faces; without any face, those that the model reports.

        Raises:
            InputError: faces carry different AUs.
        """
        return common_codes(self._sets, None if self.first is None else self.first.model)

    def add(self, frame: FrameResult) -> None:
        """Take the next frame."""
        time_s = frame.timestamp_s
        self.first = self.first or frame
        self.frames += 1
        self.begin_s, self.end_s = min(self.begin_s, time_s), max(self.end_s, time_s)
        if any(face.baseline == "neutral" for face in frame.faces):
            self.neutral_s = (time_s if self.neutral_s is None else self.neutral_s[0], time_s)
        rows: dict[int | None, Row] = {ABSENT: ((math.nan if frame.faces else 1.0,), (math.nan,), (not frame.faces,))}
        for face in frame.faces:
            self._sets.add(tuple(face.aus))
            if len(self._sets) == 1 and face.aus:  # faces with other AUs have no place in a curve; see `codes`
                rows[face.track_id] = _row(face)
                self._seen_s[face.track_id] = time_s
        if self._run_frames == 1:
            self._kept.add(time_s, rows)
        else:
            self._run.add(time_s, rows)
            runs = min(RUNS, (MOST - len(self._kept.time_s)) // 2)
            if len(self._run.time_s) < runs * self._run_frames:
                return
            self._kept.extend(self._run.paired(self._run_frames))
            self._run = _Points()
        self._make_room()

    def _make_room(self) -> None:
        """Halve what is kept if it is much."""
        if len(self._kept.time_s) == MOST:
            self._kept = self._kept.paired(4)
            self._run_frames = max(4, 2 * self._run_frames)
        if len(self._kept.curves) > 2 * MOST_TRACKS:
            gone = [track for track, seen_s in self._seen_s.items() if self.end_s - seen_s > ENDED_S]
            gone.sort(key=lambda track: len(self._kept.curves[track].occurrence))
            for track in gone[: len(self._kept.curves) - MOST_TRACKS]:
                del self._kept.curves[track], self._seen_s[track]
                self.left_out += 1

    def series(self) -> tuple[dict[int, Series], Series]:
        """The series of every track, by track id in rising order; and one of a column: 1 where no face is, else NaN."""
        points = _Points()
        points.extend(self._kept)
        points.extend(self._run.paired(self._run_frames))
        time_s = np.array(points.time_s)
        tracks = sorted(track for track in points.curves if track is not ABSENT)
        return {track: points.curves[track].series(time_s) for track in tracks}, points.curves[ABSENT].series(time_s)


def common_codes(sets: set[tuple[str, ...]], model: ModelInfo | None) -> tuple[str, ...]:
    """The AU codes of faces, of which these are all sets; without any, those that the model reports.

    Raises:
        InputError: there are several sets.
    """
    if len(sets) > 1:
        raise InputError(
            f"a timeline needs the same AUs in every face, and here are {len(sets)} different sets; "
            "draw the results of each model on their own"
        )
    if sets:
        return next(iter(sets))
    known = None if model is None else LABEL_SETS.get(model.label_set)
    return tuple(code for code in known.codes if code not in model.off) if known and model else ()


def _row(face: FaceResult) -> Row:
    scores = face.aus.values()
    return (
        [one.probability for one in scores],
        [math.nan if one.intensity is None else one.intensity for one in scores],
        [one.occurrence for one in scores],
    )


class _Curve:
    """A track's values from the point `begin` on: (T, N), flat."""

    def __init__(self, begin: int, width: int) -> None:
        self.begin, self.width = begin, width
        self.probability, self.intensity, self.occurrence = array("d"), array("d"), bytearray()

    def add(self, place: int, row: Row) -> None:
        """Append the values of one or more points, after a gap up to `place`."""
        if gap := (place - self.begin) * self.width - len(self.occurrence):
            self.probability.extend(repeat(math.nan, gap))
            self.intensity.extend(repeat(math.nan, gap))
            self.occurrence.extend(bytes(gap))
        self.probability.extend(row[0])
        self.intensity.extend(row[1])
        self.occurrence.extend(row[2])

    def series(self, time_s: Values, lead: int = 0) -> Series:
        """As a series, with so many empty points before it; `time_s` is of all points from the first one on."""
        padding, shape = ((lead, 0), (0, 0)), (-1, self.width)
        begin, length = self.begin - lead, lead + len(self.occurrence) // self.width
        probability, intensity = (
            np.pad(np.array(one).reshape(shape), padding, constant_values=np.nan)
            for one in (self.probability, self.intensity)
        )
        occurrence = np.pad(np.array(self.occurrence, np.uint8).astype(bool).reshape(shape), padding)
        return Series(time_s[begin : begin + length], probability, occurrence, intensity)


class _Points:
    """Curves along one axis of time."""

    def __init__(self) -> None:
        self.time_s = array("d")
        self.curves: dict[int | None, _Curve] = {}

    def add(self, time_s: float, rows: Mapping[int | None, Row]) -> None:
        """Append a point of each of these tracks."""
        place = len(self.time_s)
        self.time_s.append(time_s)
        for track, row in rows.items():
            if track not in self.curves:
                self.curves[track] = _Curve(place, len(list(row[0])))
            self.curves[track].add(place, row)

    def extend(self, other: _Points) -> None:
        """Append the points of others."""
        place = len(self.time_s)
        self.time_s.extend(other.time_s)
        for track, one in other.curves.items():
            if track not in self.curves:
                self.curves[track] = _Curve(place + one.begin, one.width)
            self.curves[track].add(place + one.begin, (one.probability, one.intensity, one.occurrence))

    def paired(self, per_run: int) -> _Points:
        """Each run of so many points as two."""
        if not self.time_s:
            return self
        pairs, time_s = _Points(), np.array(self.time_s)
        for track, curve in self.curves.items():
            lead = curve.begin % per_run
            series = reduced(curve.series(time_s, lead), per_run)
            pairs.curves[track] = _Curve((curve.begin - lead) // per_run * 2, curve.width)
            values = (series.probability.ravel(), series.intensity.ravel(), series.occurrence.ravel().tolist())
            pairs.curves[track].add(pairs.curves[track].begin, values)
            if track is ABSENT:  # it has a value at every point
                pairs.time_s.extend(series.time_s)
        return pairs
