"""Sessions in a forked process: kept for ever, since to free one means to wait for threads that are missing there."""

from __future__ import annotations

import ctypes
import os
import weakref

_alive: weakref.WeakSet[object] = weakref.WeakSet()


def survive_forks(session: object) -> None:
    """Never free this object, nor what its attributes hold, in a process that is forked while it is alive.

    There neither `close` nor the interpreter's end waits for native threads that exist in the parent only.
    """
    _alive.add(session)


def _keep() -> None:
    alive = list(_alive)
    if alive:
        _end_at_once()
    for session in alive:
        for one in (session, *vars(session).values()):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _end_at_once() -> None:
    """Leave out what libraries do when C's `exit` runs, after Python's own end: theirs wait for threads, too."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # of glibc; the last one that is registered runs first, and gets the exit code
        libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_keep)
