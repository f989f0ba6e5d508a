"""What is known of each source: its newest result, its last seconds, its counts, its state."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ...aus import ACTION_UNITS, au_code
from ...results import FrameResult, SourceStatus
from ..jsonl import Json, as_json, end_as_json, utc_text

HISTORY_S = 30.0
HISTORY_STEP_S = 0.2  # between two moments that a new page is given
RECENT_S = 2.0  # frames per second and delays are of so long
EVENTS_KEPT = 50
SOURCES_KEPT = 64

log = logging.getLogger("mdhr_sdk")
StatusOf = Callable[[], Mapping[str, SourceStatus]]


@dataclass(eq=False)
class Seen:
    """One source, as its results tell it. Times are monotonic seconds."""

    newest: FrameResult
    results: int = 0
    at_s: float = 0.0
    dropped: int = 0
    recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=512))  # (time, delay in ms)
    history: deque[tuple[float, list[Any]]] = field(default_factory=deque)
    occurred: Counter[str] = field(default_factory=Counter)  # AU -> events

    def add(self, result: FrameResult, now_s: float) -> None:
        self.newest, self.at_s = result, now_s
        self.results += 1
        self.dropped += result.dropped
        self.recent.append((now_s, result.delay_ms))
        self.occurred.update(event.au for event in result.events)
        if not self.history or now_s - self.history[-1][0] >= HISTORY_STEP_S:
            self.history.append((now_s, [_scores(result)]))
        while now_s - self.history[0][0] > HISTORY_S:
            self.history.popleft()

    def told(self, now_s: float) -> Json:
        """Frames per second and delays of the last seconds, and counts."""
        recent = [(at_s, delay_ms) for at_s, delay_ms in self.recent if now_s - at_s <= RECENT_S]
        delays = sorted(delay_ms for _, delay_ms in recent)
        return {
            "results": self.results,
            "fps_out": round(len(recent) / RECENT_S, 1),
            "delay_p50_ms": _at(delays, 0.5),
            "delay_p99_ms": _at(delays, 0.99),
            "dropped": self.dropped,
            "faces": len(self.newest.faces),
            "silent_s": round(now_s - self.at_s, 1),
        }


class Board:
    """All sources. Used in the server's thread only.

    Attributes:
        sources: by name, in order of their first result; at most 64, and those that gave results last.
        status_of: gives the state of every source; None if nobody tells.
        late: results that were left out, since the server could not keep up.
    """

    def __init__(self) -> None:
        self.sources: dict[str, Seen] = {}
        self.status_of: StatusOf | None = None
        self.events: deque[Json] = deque(maxlen=EVENTS_KEPT)
        self.late = 0
        self._told = False

    def add(self, result: FrameResult) -> str:
        """Take a result; returns its message."""
        if result.source not in self.sources:
            self._make_room()
            self.sources[result.source] = Seen(result)
        self.sources[result.source].add(result, time.monotonic())
        values = {"type": "frame", **as_json(result)}
        self.events.extend(_event(event, result) for event in values["events"])
        return text_of(values)

    def ends(self) -> Iterator[str]:
        """A last message for each source: its status is 'ended', its events are those that were open."""
        for name, seen in self.sources.items():
            yield text_of({"type": "frame", **end_as_json(name, seen.newest.model, seen.newest.ending)})

    def _make_room(self) -> None:
        """Forget the source that has been silent for longest, if there are too many."""
        if len(self.sources) >= SOURCES_KEPT:
            del self.sources[min(self.sources, key=lambda name: self.sources[name].at_s)]

    def mark(self, source: str, text: str, at: datetime) -> str:
        """Note a mark; returns its message."""
        values = {"type": "mark", "source": source, "text": text, "at": utc_text(at)}
        self.events.append(values)
        return text_of(values)

    def hello(self) -> str:
        """The first message to a client: names, and what happened before."""
        now_s = time.monotonic()
        newest = {name: as_json(seen.newest) for name, seen in self.sources.items()}
        history = {
            name: [[round(now_s - at_s, 2), *moment] for at_s, moment in seen.history]
            for name, seen in self.sources.items()
        }
        names = {au_code(number): au.name for number, au in ACTION_UNITS.items()}
        past = {"newest": newest, "history": history, "events": [*self.events]}
        return text_of({"type": "hello", "names": names, **past, "status": self.states()})

    def status(self, clients: int) -> str:
        """The message about states and counts."""
        at = utc_text(datetime.now(timezone.utc))
        return text_of({"type": "status", "at": at, "sources": self.states(), "clients": clients})

    def states(self) -> dict[str, Json]:
        """State and counts of every source that gave a result or whose state is told."""
        now_s, told = time.monotonic(), self._told_states()
        own = {name: seen.told(now_s) for name, seen in self.sources.items()}
        return {name: {**own.get(name, {}), **told.get(name, {})} for name in {**told, **own}}

    def _told_states(self) -> dict[str, Json]:
        if self.status_of is None:
            return {}
        try:
            return {name: status_json(one) for name, one in self.status_of().items()}
        except Exception as error:  # of the caller; the page goes on without states
            if not self._told:
                log.warning("the served page shows no states, since asking for them failed: %r", error)
            self._told = True
            return {}


def status_json(status: SourceStatus) -> Json:
    """A source's state as plain values."""
    return {
        "state": status.state,
        "reason": status.reason,
        "since": utc_text(status.since),
        "reconnects": status.reconnects,
        "captured": status.captured,
        "scored": status.scored,
        "dropped": status.dropped,
        "dropped_by": dict(status.dropped_by),
        "fps_in": round(status.fps_in, 1),
        "fps_out": round(status.fps_out, 1),
    }


def text_of(values: Json) -> str:
    """A message: one line of JSON."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def _event(event: Json, result: FrameResult) -> Json:
    """An event's message, with the time of day of its onset, as the page makes it of the events in a frame."""
    at = result.captured_at
    onset = None if at is None else at - timedelta(seconds=result.timestamp_s - event["onset_s"])
    return {"type": "event", **event, "at": utc_text(onset)}


def _scores(result: FrameResult) -> dict[str, dict[str, tuple[float, int, float | None]]]:
    """Track id -> AU -> probability, occurrence, and intensity if it has one."""
    return {
        str(face.track_id): {
            code: (
                round(score.probability, 2),
                int(score.occurrence),
                None if score.intensity is None else round(score.intensity, 1),
            )
            for code, score in face.aus.items()
        }
        for face in result.faces
    }


def _at(values: list[float], part: float) -> float | None:
    """The value that a part of the sorted values does not exceed."""
    return round(values[min(len(values) - 1, int(part * len(values)))], 1) if values else None
