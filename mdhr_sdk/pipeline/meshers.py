"""A detector's face meshers: made when they are needed, and used again for the next source."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..vision import FaceMesher
from .clock import StageClock


class Meshers:
    """Lends each source that is read a mesher of its own. May be used from several threads.

    Starting MediaPipe takes longer than many a still, so one mesher of each kind is kept for the next source.

    Args:
        make: makes a mesher; called with True for stills and False for the frames of a video.
    """

    def __init__(self, make: Callable[[bool], FaceMesher]) -> None:
        self._make = make
        self._free: dict[bool, FaceMesher] = {}
        self._lock = threading.RLock()  # garbage may be collected, and a mesher given back, anywhere
        self._closed = False

    def lend(self, still: bool, clock: StageClock) -> FaceMesher:
        """A mesher that knows no face yet."""
        with clock("start"):
            with self._lock:
                mesher = self._free.pop(still, None)
            mesher = self._make(still) if mesher is None else mesher
            mesher.reset()
            return mesher

    def give_back(self, mesher: FaceMesher, still: bool) -> None:
        """Take back one that is no longer used."""
        with self._lock:
            kept = not self._closed and self._free.setdefault(still, mesher) is mesher
        if not kept:
            mesher.close()

    def close(self) -> None:
        """Close those that are not lent, and the others when they come back."""
        with self._lock:
            self._closed = True
            free = list(self._free.values())
            self._free.clear()
        for mesher in free:
            mesher.close()
