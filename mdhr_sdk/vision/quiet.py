"""Keep native libraries off the terminal: their start-up chatter is not ours to show."""

from __future__ import annotations

import os
import sys
import threading


class _Quiet:
    """Sends file descriptor 2 to the null device inside a `with` block.

    The descriptor belongs to the whole process, so blocks of several threads share one redirection: the first to
    enter makes it, the last to leave undoes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._saved: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._saved = _silenced()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._saved is not None:
                os.dup2(self._saved, 2)
                os.close(self._saved)


def _silenced() -> int | None:
    """Point descriptor 2 to the null device; returns what it was, None for a service without an error stream."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        return None
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    return saved


quiet = _Quiet()
