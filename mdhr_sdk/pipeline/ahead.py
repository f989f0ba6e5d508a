"""Scores live sources beside the loop over their results: a slow loop gets the newest result and slows down nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ..ending import before_end, no_longer
from ..results import FrameResult
from .reader import log
from .readers import Readers

POLL_S = 0.1  # a signal handler can set a flag but wake nobody
CLOSE_S = 5.0  # for a step of the model that is under way


class Made(NamedTuple):
    """A result, and when it was made.

    Attributes:
        turn: what one turn of the model gives belongs together; None for what a source leaves at its end.
        made_s: by `time.perf_counter`.
    """

    result: FrameResult
    turn: int | None
    made_s: float


class Ahead(Iterator[FrameResult]):
    """The results of live sources, made in a thread of its own, so that frames are scored as fast as they come.

    Of each source the results of one turn wait. The next turn's replace them, and are told their events, their note and
    how many they were. What a source leaves at its end replaces nothing, and of a source that is not live nothing is
    replaced: its results wait until the loop takes them. An error is raised after the results from before.

    Args:
        made: the results; used in the thread only.
        readers: of the sources.
    """

    def __init__(self, made: Iterator[Made], readers: Readers) -> None:
        self._made, self._readers = made, readers
        self._by_name = {reader.source.name: reader for reader in readers.all}
        self._changed = threading.Condition()  # reentrant: garbage collection may close this anywhere
        self._waiting: dict[str, list[Made]] = {}  # by source; the one whose turn it is comes first
        self._over = self._left = False
        self._error: BaseException | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="mdhr scores ahead", daemon=True)
        before_end(self.close)
        self._thread.start()

    def __next__(self) -> FrameResult:
        """The result that has waited longest; waits for one."""
        with self._changed:
            while not self._waiting and not self._over:
                self._changed.wait(POLL_S)
            if not self._waiting:
                error, self._error = self._error, None
                raise StopIteration if error is None else error
            name = next(iter(self._waiting))
            made, *rest = self._waiting.pop(name)
            if rest:
                self._waiting[name] = rest
            self._changed.notify_all()
        waited_ms = 1e3 * (time.perf_counter() - made.made_s)
        return replace(made.result, delay_ms=made.result.delay_ms + waited_ms)

    @property
    def untaken(self) -> list[FrameResult]:
        """The results that wait; once this is closed, nobody takes them."""
        with self._changed:
            return [made.result for waits in self._waiting.values() for made in waits]

    def pass_events_on(self) -> None:
        """What the untaken results had to tell comes with the events that were open at the end, in its order."""
        for result in reversed(self.untaken):
            result.ending.events = (*result.events, *result.ending.events)

    def close(self) -> None:
        """End the thread; what waits is left. May be called twice, and from anywhere."""
        if os.getpid() != self._pid:  # a fork has no such thread
            return
        no_longer(self.close)
        with self._changed:
            self._left = True
            self._changed.notify_all()
        self._readers.leave()
        current = threading.current_thread()
        if current is self._thread or self._readers.reads_in(current):  # by garbage collection, perhaps with their lock
            return
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.warning("the model has not answered for %g s, and is left behind", CLOSE_S)

    def _run(self) -> None:
        try:
            for made in self._made:
                if not self._put(made):
                    break
        except BaseException as error:  # raised where the results are taken
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, made: Made) -> bool:
        """Let a result wait; False if nobody takes any more, and then it waits too: it may tell of events."""
        name = made.result.source
        reader = self._by_name[name]
        with self._changed:
            self._changed.wait_for(lambda: self._left or reader.newest or name not in self._waiting)
            waits = self._waiting.setdefault(name, [])
            if self._left:
                waits.append(made)
                return False
            if waits and made.turn is not None and waits[-1].turn != made.turn:
                if made.result.stale and not waits[-1].result.stale:  # no news replace nothing
                    waits[-1] = _with_dropped(waits[-1], made.result.dropped)
                    return True
                reader.unread(sum(not one.result.stale for one in waits))
                made = _instead(waits, made)
                waits.clear()
            waits.append(made)
            self._changed.notify_all()
        return True


def _with_dropped(made: Made, more: int) -> Made:
    return made._replace(result=replace(made.result, dropped=made.result.dropped + more))


def _instead(waits: list[Made], made: Made) -> Made:
    """A result with what those that it replaces had to tell."""
    result, before = made.result, [one.result for one in waits]
    return made._replace(
        result=replace(
            result,
            dropped=result.dropped + sum(one.dropped + (not one.stale) for one in before),
            events=tuple(event for one in [*before, result] for event in one.events),
            note=result.note or next((one.note for one in before if one.note), ""),
        )
    )
