"""Gives results to a sink in a thread of its own, so that no sink holds up scoring or another sink."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from ...errors import MDHRError, OutputError, number_of, plain
from ...results import FrameResult
from ..sinks import Sink

if TYPE_CHECKING:
    from typing_extensions import Self

MOST = 2000  # results that wait: more than a minute of 25 frames a second
MOST_BYTES = 64 << 20  # of pictures that wait
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0
CLOSE_S = 1.0  # how long a sink may take for what still waits, once the run has ended
REMIND_S = 10.0  # between two warnings of a kind about the same sink

SinkState = Literal["ok", "failing", "gone", "closed"]
Why = Literal["full", "failed", "gone", "end"]
log = logging.getLogger("mdhr_sdk")


class GoneError(OutputError):
    """A reader that left and cannot come back, as that of a pipe."""


class LostError(OutputError):
    """A sink failed, and results that it had taken before are lost with it.

    Attributes:
        count: of those results.
    """

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


@dataclass(frozen=True)
class SinkStatus:
    """How far an output is.

    Attributes:
        name: of the file, address or service.
        state: 'ok'; 'failing': it is tried again; 'gone': nothing more is written; 'closed'.
        reason: why it is failing or gone, in one line; '' otherwise.
        written: results that it took.
        waiting: results that it has not taken yet.
        dropped_by: results that it never got: 'full' too many waited and the oldest went, 'failed' it could not take
            this one, or lost it when it failed, 'gone' its reader left for good, 'end' they still waited when the run
            was over.
    """

    name: str
    state: SinkState
    reason: str
    written: int
    waiting: int
    dropped_by: Mapping[str, int]

    @property
    def dropped(self) -> int:
        """All results that it never got."""
        return sum(self.dropped_by.values())


class QueuedSink:
    """A sink behind a bounded queue and a thread. `write` never blocks and never raises.

    If the sink raises OutputError or OSError (a full disk, a reader that is not there), the same result is tried again
    after 0.2 s, then less often, up to every 5 s. Meanwhile results wait; if too many do, the oldest are dropped and
    counted. A result at which it raises anything else is dropped and counted. `close` gives it a second for what waits.

    Args:
        sink: not entered yet.
        name: as it is told to the user, without credentials.
        most: results that may wait.
        most_bytes: of their pictures.
    """

    def __init__(self, sink: Sink, name: str, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.name = plain(name)
        self._sink = sink
        self._most, self._most_bytes = most, most_bytes
        self._waits: deque[FrameResult] = deque()
        self._in_hand = False  # one result was taken from the queue and is not written yet
        self._changed = threading.Condition()
        self._ends_at = math.inf  # by time.monotonic: no further try after it
        self._state: SinkState = "ok"
        self._reason = ""
        self._written = 0
        self._dropped: Counter[Why] = Counter()
        self._told_at = self._failed_at = -math.inf  # when it was told last that it does not keep up, or fails
        self._failure_told = False
        self._thread = threading.Thread(target=self._run, name=f"mdhr writes {self.name}", daemon=True)

    def write(self, result: FrameResult) -> None:
        """Let a result wait for the sink."""
        with self._changed:
            if self._state in ("gone", "closed"):
                self._dropped["gone" if self._state == "gone" else "end"] += 1
                return
            self._waits.append(result)
            most = self._most
            if result.image is not None:
                most = min(most, max(2, self._most_bytes // result.image.nbytes))
            full = len(self._waits) - most
            for _ in range(full):
                self._waits.popleft()
                self._dropped["full"] += 1
            self._changed.notify()
        if full > 0:
            self._remind()

    @property
    def status(self) -> SinkStatus:
        """How far it is."""
        with self._changed:
            waiting = len(self._waits) + self._in_hand
            lost: dict[str, int] = {why: count for why, count in self._dropped.items() if count}
            return SinkStatus(self.name, self._state, self._reason, self._written, waiting, lost)

    def close(self, within_s: float = CLOSE_S) -> None:
        """Let the sink take what waits and finish, for so long; what it does not take then is dropped and counted."""
        self.end(within_s)
        self.join(within_s)

    def end(self, within_s: float) -> None:
        """Take no more results; returns at once, so that several sinks can end side by side."""
        with self._changed:
            self._ends_at = min(self._ends_at, time.monotonic() + within_s)
            self._changed.notify()

    def join(self, within_s: float) -> None:
        """Wait for the end. A sink that does not come to it is left behind, and what waited for it is counted."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, within_s))
        with self._changed:
            if self._thread.is_alive():
                self._reason = self._reason or "it did not take its last results in time"
                self._give_up("gone", "end")

    def __enter__(self) -> Self:
        """Enter the sink, in this thread, so that what cannot work is an error now."""
        self._sink.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while (result := self._next()) is not None:
                self._give(result)
        finally:
            self._leave()

    def _next(self) -> FrameResult | None:
        """The oldest result that waits; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waits or self._ends_at < math.inf or self._state == "gone")
            if not self._waits:
                return None
            self._in_hand = True
            return self._waits.popleft()

    def _give(self, result: FrameResult) -> None:
        """Give one result to the sink, again and again while it may work later."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                self._sink.write(result)
            except GoneError as error:
                self._fail(error, "gone")
                return
            except (OutputError, OSError) as error:
                self._fail(error, "failing")
            except Exception as error:
                known = error if isinstance(error, MDHRError) else f"{type(error).__name__}: {error}"
                log.warning("%s: one result cannot be written: %s", self.name, known)
                self._done("failed")
                return
            else:
                self._done(None)
                return
            if not self._pause(pause_s):
                return
            pause_s = min(2 * pause_s, LAST_RETRY_S)

    def _pause(self, pause_s: float) -> bool:
        """Wait before the next try; False if there is none, since the run is over."""
        with self._changed:
            if self._ends_at < math.inf:
                self._changed.wait(max(0.0, min(FIRST_RETRY_S, self._ends_at - time.monotonic())))
            else:
                self._changed.wait_for(lambda: self._ends_at < math.inf, pause_s)
            if time.monotonic() >= self._ends_at:
                self._drop_waiting("end")
            return self._in_hand

    def _done(self, why: Why | None) -> None:
        """The result in hand was written, or dropped for a reason."""
        with self._changed:
            if not self._in_hand:  # `join` was tired of waiting, and has counted it
                return
            self._in_hand = False
            if why is None:
                self._written += 1
            else:
                self._dropped[why] += 1
            recovered = why is None and self._state == "failing"
            if recovered:
                self._state, self._reason = "ok", ""
        if recovered and self._failure_told:
            self._failure_told = False
            log.warning("%s works again; %s", self.name, self._lost)

    def _fail(self, error: Exception, state: Literal["failing", "gone"]) -> None:
        with self._changed:
            now = time.monotonic()
            new = self._state == "ok" and now >= self._failed_at + REMIND_S
            self._reason = plain(error)
            self._count_lost(error)
            if state == "gone":
                self._give_up("gone", "gone")
            elif self._state == "ok":
                self._state = "failing"
        if state == "gone":
            log.warning("%s gets nothing more: %s", self.name, self._reason)
        elif new:
            self._failed_at, self._failure_told = now, True
            log.warning("%s does not work now and is tried again: %s", self.name, self._reason)

    def _count_lost(self, error: Exception) -> None:
        """Results that count as written and are lost; the lock is held."""
        if isinstance(error, LostError):
            self._written -= error.count
            self._dropped["failed"] += error.count

    def _give_up(self, state: SinkState, why: Why) -> None:
        """Write nothing more; the lock is held."""
        self._state = state
        self._drop_waiting(why)

    def _drop_waiting(self, why: Why) -> None:
        """Count all that waits as dropped; the lock is held."""
        self._dropped[why] += len(self._waits) + self._in_hand
        self._waits.clear()
        self._in_hand = False

    def _leave(self) -> None:
        """Finish the sink, in its thread."""
        try:
            self._sink.__exit__(None, None, None)
        except Exception as error:
            with self._changed:
                self._reason = plain(error)
                self._count_lost(error)
            if not isinstance(error, GoneError):
                log.warning("%s cannot be finished: %s", self.name, plain(error))
        with self._changed:
            if self._state != "gone":
                self._give_up("closed", "end")

    @property
    def _lost(self) -> str:
        return f"{number_of(sum(self._dropped.values()), 'result')} dropped so far"

    def _remind(self) -> None:
        now = time.monotonic()
        if now >= self._told_at + REMIND_S:
            self._told_at = now
            log.warning("%s does not keep up: %s", self.name, self._lost)


class LiveSinks:
    """Several queued sinks as one; each gets every result, or those of one source.

    Args:
        most_bytes: of the pictures that may wait for each.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._all: list[tuple[QueuedSink, str | None, bool]] = []

    def add(self, sink: Sink, name: str, source: str | None = None, pictures: bool = False) -> QueuedSink:
        """Enter a sink and begin its thread.

        Args:
            source: whose results it gets; None for all.
            pictures: whether it needs pictures and meshes, which else are not kept for it.

        Raises:
            MDHRError: as its `__enter__`.
        """
        queued = QueuedSink(sink, name, most_bytes=self._most_bytes)
        queued.__enter__()
        self._all.append((queued, source, pictures))
        return queued

    def write(self, result: FrameResult) -> None:
        """Give a result to each sink that wants it; never blocks, never raises."""
        from ..files import slim

        small: FrameResult | None = None
        for sink, source, pictures in self._all:
            if source in (None, result.source):
                if not pictures and small is None:
                    small = slim(result)
                sink.write(result if pictures or small is None else small)

    @property
    def status(self) -> list[SinkStatus]:
        """How far each is, in the order in which they were added."""
        return [sink.status for sink, _, _ in self._all]

    def close(self, within_s: float = CLOSE_S) -> None:
        """End all of them side by side; all together get so much time."""
        until = time.monotonic() + within_s
        for sink, _, _ in self._all:
            sink.end(within_s)
        for sink, _, _ in self._all:
            sink.join(until - time.monotonic())
