"""From decisions to events: from when to when a face shows an action unit, found while the frames pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...modelfolder.config import EventRule
from ...results import AUEvent, AUScore, FaceResult
from ...vision import Frame

LEAST_S = 1e-6  # times are sums of floats
Moment = tuple[int, float]  # a frame's index and time in seconds


@dataclass
class _Running:
    """An AU that occurred, and has not fallen below its low level since."""

    onset: Moment
    apex: Moment
    offset: Moment  # so far
    peak: float
    onset_cut: bool
    strongest: float | None  # intensity so far, where it occurs


@dataclass
class _Face:
    """A face that is followed: where it was last seen, and by code the AUs that it shows."""

    last: Moment
    running: dict[str, _Running] = field(default_factory=dict)


class EventFinder:
    """Takes the decided frames of one source in order; an event is told in the frame that ends it.

    It ends when the probability falls below the low level, and where its face is lost for longer than `gap_s`, has a
    new id, as after a cut, or the source breaks. The neutral seconds of a baseline are left out: what is seen there is
    rest.

    Args:
        thresholds: code -> probability from which the AU occurs.
    """

    def __init__(self, thresholds: Mapping[str, float], rule: EventRule) -> None:
        levels = {code: rule.levels(threshold) for code, threshold in thresholds.items()}
        self._low = {code: float(np.float32(low)) for code, (low, _) in levels.items()}  # as exact as scores are
        self._high = {code: float(np.float32(high)) for code, (_, high) in levels.items()}
        self._rule = rule
        self._source = ""
        self._before = -1  # index of the last frame
        self._faces: dict[int, _Face] = {}  # by track id

    def take(self, frame: Frame, faces: Sequence[FaceResult]) -> tuple[AUEvent, ...]:
        """Take the next frame and its faces; returns the events that it ends."""
        events = list(self.end()) if frame.breaks else []
        self._source = frame.source
        shown = {face.track_id: face for face in faces if face.baseline != "neutral"}
        for track, known in list(self._faces.items()):
            missed = track not in shown or known.last[0] != self._before
            if missed and frame.timestamp_s - known.last[1] > self._rule.gap_s + LEAST_S:
                events += self._lost(track)
        for track, face in shown.items():
            events += self._seen(track, face.aus, (frame.index, frame.timestamp_s))
        self._before = frame.index
        return tuple(events)

    def end(self) -> tuple[AUEvent, ...]:
        """Nothing follows, or not from here: returns the events that are open."""
        return tuple(event for track in list(self._faces) for event in self._lost(track))

    def _seen(self, track: int, aus: Mapping[str, AUScore], now: Moment) -> list[AUEvent]:
        """The events that a face's scores end."""
        known = self._faces.get(track)
        first = known is None
        known = self._faces[track] = known or _Face(now)
        events: list[AUEvent] = []
        for code, score in aus.items():
            running = known.running.get(code)
            if running is None:
                if score.occurrence:
                    known.running[code] = _Running(now, now, now, score.probability, first, score.intensity)
                continue
            if not score.occurrence and score.probability < self._low[code]:
                events += self._event(track, code, known.running.pop(code))
                continue
            if score.occurrence:
                running.offset = now
                if score.intensity is not None:
                    running.strongest = max(score.intensity, running.strongest or 0.0)
            if score.probability > running.peak:
                running.apex, running.peak = now, score.probability
        known.last = now
        return events

    def _lost(self, track: int) -> list[AUEvent]:
        """The events that end with a face."""
        known = self._faces.pop(track)
        ended = [self._event(track, code, one, one.offset == known.last) for code, one in known.running.items()]
        return [event for events in ended for event in events]

    def _event(self, track: int, code: str, one: _Running, offset_cut: bool = False) -> list[AUEvent]:
        """The event, or nothing where it is too short or too low."""
        lasted_s = one.offset[1] - one.onset[1]
        if one.peak < self._high[code] or lasted_s < self._rule.shortest_s - LEAST_S:
            return []
        (onset, onset_s), (apex, apex_s), (offset, offset_s) = one.onset, one.apex, one.offset
        times = (onset, apex, offset, onset_s, apex_s, offset_s)
        return [AUEvent(self._source, track, code, *times, one.peak, one.onset_cut, offset_cut, one.strongest)]
