"""Keeps a live source alive: sees that it answers, says how it is doing, and opens it again when it breaks off."""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from ....errors import ConfigError, InputError, MissingDependencyError, SourceError, TruncatedSourceError
from ..arrivals import Passed
from ..source import Damage, Frame, Image, Source, SourceInfo, utc_of
from .capture import Capture, CaptureDied, Message
from .health import Health, Patience, Retries
from .spec import LiveSpec

STALE_S = 1.0  # without a new picture
START_S = 20.0  # for the other process to load its libraries
KILL_S = 0.1  # beyond the deadline that libraries in the other process should keep by themselves
FINAL = {one.__name__: one for one in (ConfigError, InputError, MissingDependencyError)}  # time does not mend them

log = logging.getLogger("mdhr_sdk")


class Supervisor:
    """The frames of one live source, over all its breaks, and a 'stale' frame each second in which nothing new comes.

        with Supervisor(source, spec, Patience(), passed) as supervised:
            for frame in supervised:
                ...

    The first frame after a break or a stall `breaks`. Iterate in one thread; `stop` and `health` are for any.

    Args:
        source: gives the name, and is told what is known once it is open.
        passed: called with how many frames were captured and passed over, by reason.

    Attributes:
        health: how the source is doing.
    """

    def __init__(self, source: Source, spec: LiveSpec, patience: Patience, passed: Callable[[Passed], None]) -> None:
        self.health = Health()
        self._source = source
        self._spec = spec
        self._patience = patience
        self._passed = passed
        self._capture: Capture | None = None
        self._stdin: int | None = None
        self._stopped = threading.Event()
        self._retries = Retries()
        self._pausing = False  # until the deadline, then it is opened again
        self._deadline_s = math.inf  # when the state at hand has lasted too long
        self._tick_s = math.inf  # when nothing new has come for a second
        self._news_s = time.perf_counter()  # of the last picture, or the beginning
        self._began_s: float | None = None  # when it was first open
        self._last: Image | None = None
        self._dropped = 0  # since the last frame
        self._told_s = 0.0  # timestamp of the last frame, which no later one undercuts
        self._breaks, self._note = False, ""
        self._damage, self._damage_before = Damage(), 0
        self._warned = ""

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    def __enter__(self) -> Supervisor:
        """Wait until the source is open; raises its error if it is not to be opened again, or `stop` was called."""
        try:
            if self._spec.way == "pipe":
                self._take_stdin()
            self._begin()
            while self._began_s is None:
                if self._stopped.is_set():
                    raise SourceError(f"{self._source.name} was left before it was open")
                self._next()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_capture(politely=True)
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
        self.health = self.health.become("ended", self.health.reason)

    def stop(self) -> None:
        """End the iteration soon; from any thread."""
        self._stopped.set()
        if (capture := self._capture) is not None:
            capture.wake()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames until the source ends or `stop` is called.

        Raises:
            SourceError: it broke off and is not to be opened again, or not any more.
        """
        while not self._stopped.is_set():
            message = self._next()
            if message is not None and message["is"] == "over":
                return
            if message is not None and message["is"] == "frame":
                yield self._frame(message)
            elif time.perf_counter() >= self._tick_s and not self._stopped.is_set():
                yield self._stale()

    def _next(self) -> Message | None:
        """The next message, once its part here is done; None when it is time to look around."""
        try:
            message = self._wait(min(self._deadline_s, self._tick_s))
            if message is None:
                if time.perf_counter() >= self._deadline_s and not self._stopped.is_set():
                    self._overdue()
            elif message["is"] == "log":
                log.log(message["level"], "%s", message["message"])
            elif message["is"] == "failed":
                self._failed(message)
            elif message["is"] != "over":
                self._answered(message)
            return message
        except CaptureDied as died:
            self._end_capture()
            self._lost(str(died), final=self._spec.way == "file")
            return None

    def _wait(self, until_s: float) -> Message | None:
        """The next message; None if there is none by then, or `stop` was called."""
        wait_s = min(60.0, max(0.0, until_s - time.perf_counter()))
        if self._pausing or self._capture is None:
            self._stopped.wait(wait_s)
            return None
        return None if self._stopped.is_set() else self._capture.wait(wait_s)

    def _answered(self, message: Message) -> None:
        """It is ready to open the source, has opened it, or has captured a picture."""
        if message["is"] == "ready" and self._capture is not None:
            self._news_s = time.perf_counter() if self._began_s is None and not self._warned else self._news_s
            self._ask(self._capture)
            return
        self._deadline_s = self._patient_until()
        if message["is"] == "frame" and self._late(message):
            message |= {"is": "passed", "counts": {"newer": 1}}
        if message["is"] == "opened":
            if self._began_s is None:
                self._began_s = time.perf_counter()
                values = (message["fps"], message["frame_count"], message["live"])
                self._source.told(SourceInfo(self._source.name, self._source.kind, *values), self._damage)
        elif message["is"] == "passed":
            counts: Passed = message["counts"]
            if "same" not in counts or self.health.state not in ("lost", "reconnecting"):
                self._news_s = time.perf_counter()  # not of a playlist that shows what it showed before it was lost
            self._dropped += sum(counts.values())
            self._breaks |= message["breaks"]
            self._note = ("newer" in counts and message["note"]) or self._note
            self._passed(counts)
            if "same" in counts and self.health.state == "live":
                self.health = self.health.become("stale", "it shows the same picture")
                self._tick_s = time.perf_counter()

    def _late(self, message: Message) -> bool:
        """Whether a newer picture has come meanwhile, so that nobody wants this one; pipes and files wait."""
        capture = self._capture
        if capture is None or self._spec.complete or self._spec.way in ("pipe", "file") or not self.info.live:
            return False
        if late := capture.overtaken:
            capture.pass_over(message)
        return late

    def _frame(self, message: Message) -> Frame:
        """A new picture."""
        assert self._capture is not None and self._began_s is not None
        live, arrived_s, now_s = self.info.live, message["arrived_s"], time.perf_counter()
        self._last = self._capture.picture(message)
        self._damage.count = self._damage_before + message["damaged"]
        if self.health.state != "live":
            if self.health.state in ("lost", "reconnecting"):
                log.info("%s is back", self._source.name)
            self.health = self.health.become("live")
            self._retries.live()
            self._warned = ""
        self._news_s = now_s
        self._tick_s = now_s + STALE_S if live else math.inf
        breaks, dropped = self._taken(False)
        timestamp_s = self._later(arrived_s - self._began_s) if live else max(0.0, message["time_s"])
        note, self._note = self._note, ""
        return Frame(
            self._last, 0, timestamp_s, self._source.name, arrived_s, breaks or message["breaks"],
            message["note"] or note, dropped, utc_of(arrived_s) if live else None, message["stream_s"],
        )  # fmt: skip

    def _stale(self) -> Frame:
        """What there is to tell after a second without a new picture."""
        assert self._last is not None and self._began_s is not None
        now_s = time.perf_counter()
        self._tick_s = now_s + STALE_S
        if self.health.state == "live":
            self.health = self.health.become("stale", f"no picture has come for {STALE_S:g} s")
        _, dropped = self._taken(True)
        return Frame(
            self._last, 0, self._later(now_s - self._began_s), self._source.name, now_s, True, "", dropped,
            utc_of(now_s), stale=True,
        )  # fmt: skip

    def _later(self, timestamp_s: float) -> float:
        """A picture may have come just before the result that says that none came, and be read just after it."""
        self._told_s = max(self._told_s, timestamp_s)
        return self._told_s

    def _taken(self, then_breaks: bool) -> tuple[bool, int]:
        """Whether the frame at hand breaks, and how many were dropped before it."""
        breaks, dropped = self._breaks, self._dropped
        self._breaks, self._dropped = then_breaks, 0
        return breaks, dropped

    def _overdue(self) -> None:
        """The state at hand lasted too long: a pause, or the wait for an answer or a picture."""
        if self._pausing and time.perf_counter() < self._given_up_s:
            self._begin()
            return
        if self._pausing:
            self._lost(self._warned)  # which raises
        self._end_capture()
        opening = self.health.state in ("connecting", "reconnecting")
        silent_s = time.perf_counter() - self._news_s
        cut_short = opening and self._warned and time.perf_counter() >= self._given_up_s
        never = self._warned if cut_short else "it gives no picture"
        self._lost(never if opening else f"no picture has come for {silent_s:.0f} s")

    def _begin(self) -> None:
        """Open the source, or open it again."""
        self._pausing = False
        if self.health.state == "lost":
            self.health = self.health.become("reconnecting", self.health.reason)
        self._damage_before = self._damage.count
        if self._capture is not None:
            self._ask(self._capture)
            return
        try:
            self._capture = Capture(self._stdin)  # it says when it is ready
            self._deadline_s = time.perf_counter() + START_S
        except SourceError as error:
            self._lost(str(error))

    def _ask(self, capture: Capture) -> None:
        capture.open(self._spec, self._source.name)
        self._deadline_s = self._patient_until()

    def _patient_until(self) -> float:
        """When an answer or a picture is due at the latest. A pipe's writer may take its time."""
        if self._spec.way == "pipe":
            return math.inf
        return min(time.perf_counter() + self._spec.timeout_s + KILL_S, self._given_up_s)

    @property
    def _given_up_s(self) -> float:
        most_s = self._patience.give_up_after_s
        return math.inf if most_s is None else self._news_s + most_s

    def _failed(self, message: Message) -> None:
        """It could not be opened, or stopped."""
        kind, text = message["kind"], message["message"]
        if kind in FINAL:
            raise FINAL[kind](text)
        if kind == "TruncatedSourceError":
            raise TruncatedSourceError(text, *message["counts"])
        self._lost(text, final=self._spec.way in ("pipe", "file"), refused=kind == "LoginRefusedError")

    def _lost(self, reason: str, final: bool = False, refused: bool = False) -> None:
        """Pause before the next try, or raise if there is none."""
        name = self._source.name
        named = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", reason)
        told = reason if named else f"{name}: {reason}"
        short, _, _ = told.partition("; check")  # what the user could do is done here
        finite = self._began_s is not None and not self.info.live
        if final or finite or not self._patience.reconnect:
            raise SourceError(told)
        now_s = time.perf_counter()
        if now_s >= self._given_up_s:
            raise SourceError(f"{short}; given up after {now_s - self._news_s:.1f} s without a picture")
        if short != self._warned:
            seldom = ", seldom, since cameras lock accounts" if refused else ""
            log.warning("%s; it is opened again until it answers%s", short, seldom)
        self._warned, self._pausing, self._breaks = short, True, self._last is not None
        self.health = self.health.become("connecting" if self._last is None else "lost", short)
        self._deadline_s = min(now_s + self._retries.pause_s(refused), self._given_up_s)

    def _end_capture(self, politely: bool = False) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close(politely)

    def _take_stdin(self) -> None:
        """The pipe that is read by the other process."""
        if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
            raise SourceError("expected pictures on standard input ('-'); it is a terminal: pipe a program into it")
        self._stdin = os.dup(sys.stdin.fileno())
        self._spec = replace(self._spec, address=str(self._stdin))
