"""What is told of a live run: a table on a terminal, a line a source elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from ....errors import number_of, plain
from ....outputs.live.queued import SinkStatus
from ....results import FrameResult, SourceStatus
from .logs import VALUES, Teller

RECENT_S = 10.0  # delays, and the AUs that occur, are those of so long
STYLES = {"live": "green", "stale": "yellow", "lost": "red", "reconnecting": "yellow", "connecting": "cyan"}
log = logging.getLogger("mdhr_sdk")


@dataclass
class _Seen:
    recent: deque[tuple[float, float]] = field(default_factory=deque)  # (monotonic seconds, delay in ms)
    last: FrameResult | None = None
    paused: int = 0  # results that were not given on


@dataclass(frozen=True)
class Line:
    """One source now."""

    name: str
    status: SourceStatus
    delay_p50_ms: float | None
    delay_p99_ms: float | None
    faces: int
    active: tuple[str, ...]

    @property
    def delays(self) -> str:
        if self.delay_p50_ms is None or self.delay_p99_ms is None:
            return "-"
        return f"{self.delay_p50_ms:.0f} / {self.delay_p99_ms:.0f}"

    @property
    def values(self) -> dict[str, Any]:
        """For JSON logs."""
        one = self.status
        return {
            "source": self.name, "state": one.state, "reason": plain(one.reason), "fps_in": round(one.fps_in, 1),
            "fps_out": round(one.fps_out, 1), "captured": one.captured, "scored": one.scored, "dropped": one.dropped,
            "dropped_by": dict(one.dropped_by), "reconnects": one.reconnects, "delay_p50_ms": self.delay_p50_ms,
            "delay_p99_ms": self.delay_p99_ms, "faces": self.faces, "aus": [*self.active],
        }  # fmt: skip

    def __str__(self) -> str:
        one = self.status
        state = f"{one.state} ({plain(one.reason)})" if one.reason else one.state
        rates = f"{one.fps_in:.1f} in, {one.fps_out:.1f} out frames/s"
        seen = f"{number_of(self.faces, 'face')} {' '.join(self.active)}".rstrip()
        return f"{self.name}: {state}, {rates}, delay {self.delays} ms, {dropped(one.dropped_by)}, {seen}"


def dropped(by: Mapping[str, int]) -> str:
    """'dropped 12 (newer 10, start 2)'."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in by.items() if count)
    return f"dropped {sum(by.values()):,}" + (f" ({reasons})" if reasons else "")


class Watch:
    """Counts results as they come, in the thread that scores; tells of them in any other.

    Args:
        names: of the sources.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._seen = {name: _Seen() for name in names}

    def count(self, result: FrameResult, paused: bool = False) -> None:
        """Take one result."""
        now = time.monotonic()
        with self._lock:
            seen = self._seen.setdefault(result.source, _Seen())
            seen.last = result
            seen.paused += paused
            if not result.stale:
                seen.recent.append((now, result.delay_ms))
            while seen.recent and seen.recent[0][0] < now - RECENT_S:
                seen.recent.popleft()

    @property
    def paused(self) -> dict[str, int]:
        """Source -> results that were not given on."""
        with self._lock:
            return {name: seen.paused for name, seen in self._seen.items() if seen.paused}

    def newest(self) -> list[FrameResult]:
        """The last result of each source that has one."""
        with self._lock:
            return [seen.last for seen in self._seen.values() if seen.last is not None]

    def lines(self, status: Mapping[str, SourceStatus]) -> list[Line]:
        """Every source now."""
        since = time.monotonic() - RECENT_S
        with self._lock:
            kept = {
                name: (sorted(delay for at, delay in seen.recent if at >= since), seen.last)
                for name, seen in self._seen.items()
            }
        lines = []
        for name, (delays, last) in kept.items():
            one = status.get(name, SourceStatus(name=name))
            faces = last.faces if last is not None and one.state in ("live", "ended") else ()
            active = Counter(code for face in faces for code in face.active)
            p50, p99 = (round(delays[int(share * (len(delays) - 1))], 1) if delays else None for share in (0.5, 0.99))
            lines.append(Line(name, one, p50, p99, len(faces), tuple(sorted(active))))
        return lines


def table(lines: Sequence[Line], sinks: Sequence[SinkStatus]) -> Table:
    """All sources, and under them the outputs."""
    shown = Table(title="mdhr live", title_justify="left")
    for name in ("source", "state"):
        shown.add_column(name, overflow="fold")
    for name in ("in/s", "out/s", "delay ms\np50 / p99", "dropped", "faces"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("action units")
    for line in lines:
        one = line.status
        told = f"{one.state}: {plain(one.reason)}" if one.reason and one.state != "live" else one.state
        state = Text(told, style=STYLES.get(one.state, ""))
        rates = f"{one.fps_in:.1f}", f"{one.fps_out:.1f}", line.delays, f"{one.dropped:,}", str(line.faces)
        shown.add_row(plain(line.name), state, *rates, " ".join(line.active))
    whole = Table.grid()
    whole.add_row(shown)
    for sink in sinks:
        whole.add_row(Text(sink_line(sink), "" if sink.state == "ok" else "yellow"))
    return whole


class Drawn:
    """The table on the terminal, drawn again and again by the thread that prints."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._live = Live(console=teller.console, auto_refresh=False, transient=True)
        self._waits = False
        teller.tell(self._live.start)

    def draw(self, lines: Sequence[Line], sinks: Sequence[SinkStatus]) -> None:
        """Draw it, unless an earlier one still waits."""
        if not self._waits:
            self._waits = True
            self._teller.tell(lambda: self._draw(table(lines, sinks)))

    def _draw(self, shown: Table) -> None:
        self._waits = False
        self._live.update(shown, refresh=True)

    def close(self) -> None:
        """Take it away."""
        self._teller.tell(self._live.stop)


def sink_line(one: SinkStatus) -> str:
    """'door_aus.csv: ok, 1,234 written'."""
    lost = f", {dropped(one.dropped_by)}" if one.dropped else ""
    why = f" ({one.reason})" if one.reason else ""
    waits = f", {one.waiting:,} waiting" if one.waiting > 1 else ""
    return f"{one.name}: {one.state}{why}, {one.written:,} written{waits}{lost}"


def log_lines(lines: Sequence[Line], sinks: Sequence[SinkStatus]) -> None:
    """One line a source, and one for each output that is not well."""
    for line in lines:
        log.info("%s", line, extra={VALUES: line.values})
    for one in ill(sinks):
        log.warning("%s", sink_line(one), extra={VALUES: {"sink": one.name, "dropped_by": dict(one.dropped_by)}})


def ill(sinks: Sequence[SinkStatus]) -> Iterator[SinkStatus]:
    """Outputs that do not work now or lack results."""
    return (one for one in sinks if one.state in ("failing", "gone") or one.dropped)
