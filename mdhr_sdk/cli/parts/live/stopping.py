"""Signals of a live run: TERM and Ctrl-C end it, HUP reloads its settings or ends it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Why = Literal["", "interrupt", "terminate", "hangup", "user", "outputs"]
SAME_S = 0.5  # a signal to a process and to its group, as of `timeout` or a terminal, comes twice and is one request
_SIGNALS: dict[str, Why] = {"SIGINT": "interrupt", "SIGTERM": "terminate", "SIGHUP": "hangup", "SIGBREAK": "terminate"}


class Stop:
    """Whether, and why, a run is to end.

    Attributes:
        asked: why; '' while it goes on.
        hurry: it was asked for again, some time later: wait for nothing.
        armed: a run has begun, and ends when it is asked to; before that a signal interrupts whatever is opened.
    """

    def __init__(self) -> None:
        self.asked: Why = ""
        self.hurry = self.armed = False
        self._asked_s = 0.0

    def ask(self, why: Why) -> None:
        """End the run; may be called from any thread and by a signal's handler."""
        if self.asked in ("", "hangup"):
            self.asked, self._asked_s = why, time.monotonic()
        elif time.monotonic() >= self._asked_s + SAME_S:
            self.hurry = True

    def renew(self) -> None:
        """Another run follows."""
        self.asked, self.hurry = "", False

    def _on_signal(self, why: Why) -> None:
        self.ask(why)
        if not self.armed:
            raise KeyboardInterrupt

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Within the block signals ask; those that are ignored, as by nohup, stay so."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            for name, why in _SIGNALS.items():
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, lambda *_, why=why: self._on_signal(why))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
