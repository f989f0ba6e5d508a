"""The face finders of a detector: made when they are needed, and used again for the next source."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..vision import FaceMesher
from .clock import StageClock


class Finders:
    """Lends face finders, one to each source that is read. May be used from several threads.

    Starting MediaPipe takes longer than many a still, so one finder of each kind is kept for the next source.

    Args:
        make: makes a finder; called with True for stills and False for the frames of a video.
    """

    def __init__(self, make: Callable[[bool], FaceMesher]) -> None:
        self._make = make
        self._free: dict[bool, FaceMesher] = {}
        self._lock = threading.RLock()  # garbage may be collected, and a finder given back, anywhere
        self._closed = False

    def lend(self, still: bool, clock: StageClock) -> FaceMesher:
        """A finder that knows no face yet."""
        with clock("start"):
            with self._lock:
                finder = self._free.pop(still, None)
            finder = self._make(still) if finder is None else finder
            finder.reset()
            return finder

    def give_back(self, finder: FaceMesher, still: bool) -> None:
        """Nobody uses this one any more."""
        with self._lock:
            kept = not self._closed and self._free.setdefault(still, finder) is finder
        if not kept:
            finder.close()

    def close(self) -> None:
        """Close those that are not lent, and the others when they come back."""
        with self._lock:
            self._closed = True
            free = list(self._free.values())
            self._free.clear()
        for finder in free:
            finder.close()
