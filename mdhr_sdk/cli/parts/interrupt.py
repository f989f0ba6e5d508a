"""Ctrl-C and SIGTERM while results are written: the first ends reading between two frames, the second everything."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
        """Within the block take SIGINT and SIGTERM, unless they are ignored or another thread's."""
        taken = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if callable(before := signal.getsignal(number)):
                    taken[number] = before
                    signal.signal(number, self)
        try:
            yield
        finally:
            for number, before in taken.items():
                signal.signal(number, before)
