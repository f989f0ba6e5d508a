"""Ctrl-C, SIGTERM and SIGHUP: at once while nothing is written; then the first ends reading between two frames."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

INTERRUPTED = 130  # exit code


class Interrupt:
    """Whether the user asked for the end.

    Attributes:
        asked: since `held` began.
    """

    def __init__(self) -> None:
        self.asked = False
        self._finish: Callable[[], None] | None = None

    @contextmanager
    def ends(self, finish: Callable[[], None]) -> Iterator[None]:
        """Within the block call `finish` when the end is asked for, or at once if it was."""
        self._finish = finish
        if self.asked:
            finish()
        try:
            yield
        finally:
            self._finish = None

    def __call__(self, *_: object) -> None:
        """Handle a signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self._finish is not None:
            self._finish()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block take SIGINT, SIGTERM and SIGHUP, unless they are ignored or another thread's."""
        with _handled(self):
            yield


def stopping() -> list[signal.Signals]:
    """The signals that end a command: of Ctrl-C, of job schedulers, and of a terminal that is closed."""
    return [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def ends_at_once() -> AbstractContextManager[None]:
    """Within the block, in which nothing is written, the signals end the process at once.

    An exception could get lost there: modules in C that are interrupted while they are loaded seem to be missing.
    """
    return _handled(lambda *_: os._exit(INTERRUPTED))


@contextmanager
def _handled(handler: Callable[..., object]) -> Iterator[None]:
    """Within the block handle the signals so, unless they are ignored or another thread's."""
    taken = {}
    if threading.current_thread() is threading.main_thread():
        for number in stopping():
            if callable(before := signal.getsignal(number)):
                taken[number] = before
                signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in taken.items():
            signal.signal(number, before)
