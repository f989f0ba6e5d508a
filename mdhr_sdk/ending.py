"""The end of the process, which no other thread may meet inside of native code.

Up to Python 3.13 a daemon thread that comes back from C++ then is torn out of it, and that aborts the process.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

WAIT_S = 5.0  # for what other threads are at

_at_work: set[int] = set()
_closers: list[Callable[[], None]] = []
_ended_by: list[int] = []  # the thread that ends the process, once it does


@contextmanager
def at_work() -> Iterator[None]:
    """The process waits for this block before it ends; may be nested.

    A thread that comes to its beginning or its end after that stops there, without a word: what it would return could
    be cut short, since sources are closed by then.
    """
    thread = threading.get_ident()
    outermost = thread not in _at_work
    _at_work.add(thread)  # before the check: the end looks the other way round
    try:
        _stop_late(thread)
        yield
    finally:
        if outermost:
            _at_work.discard(thread)
        _stop_late(thread)


def before_end(close: Callable[[], None]) -> None:
    """Have the process call this before it ends; what was asked for last is called first."""
    _closers.append(close)


def no_longer(close: Callable[[], None]) -> None:
    """Take `before_end` back; may be called twice."""
    with suppress(ValueError):
        _closers.remove(close)


def _stop_late(thread: int) -> None:
    if _ended_by and _ended_by[0] != thread:
        raise SystemExit  # threads end by it silently


def _end() -> None:
    _ended_by[:] = [threading.get_ident()]
    while (close := _last()) is not None:
        close()
    until_s = time.monotonic() + WAIT_S
    while _at_work.difference(_ended_by) and time.monotonic() < until_s:
        time.sleep(0.002)


def _last() -> Callable[[], None] | None:
    try:
        return _closers.pop()
    except IndexError:  # no test of the list before: another thread may take the last one back
        return None


def _forked() -> None:
    _at_work.intersection_update({threading.get_ident()})  # a fork has no other threads to wait for


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
# Finalizers free models at the end. Python registers them all with the first one, so that they run after `_end`.
weakref.finalize(threading.main_thread(), lambda: None).detach()
atexit.register(_end)
