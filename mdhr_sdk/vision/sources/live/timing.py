"""Which pictures of a live source are news, when its own clock jumps, and when the next one is due."""

from __future__ import annotations

import time
import zlib
from collections import deque

from ..source import Image

LEAST_WAIT_S = 0.005  # a read that took less did not wait for the network
MOST_BACKLOG_S = 1.0  # longer than that nothing is passed over: the machine is too slow, not the source too late
STALL_S, STALL_PERIODS = 1.0, 4.0  # a wait that is longer than both is a stall
MOST_SEEN = 4096  # pictures of a playlist: minutes of it
JUMP_S = 2.0  # between the steps of two clocks; networks jitter by less


class Backlog:
    """Tells which pictures had waited before they were read: as long as reads do not wait, there are more of them.

    A stream begins with what was read to find out its format, and with what its server had kept; after a stall comes
    what had stuck in the network. Pictures of before are no news, and their times would be wrong. Two waits that are
    long, one after the other, are no stalls: so slow is the source.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._why = "start"
        self._waited = False  # the picture before came after a stall
        self._since_s = time.perf_counter()

    def late(self, waited_s: float, now_s: float) -> str:
        """Why the picture whose packet was waited for so long is no news: 'start' or 'stall'; '' if it is news."""
        waited_before, self._waited = self._waited, waited_s > max(STALL_S, STALL_PERIODS * self._period_s)
        if self._waited and not waited_before:
            self._why, self._since_s = "stall", now_s
            return self._why
        if self._waited:
            self._period_s = waited_s
        if self._why:
            if waited_s < LEAST_WAIT_S and now_s - self._since_s < MOST_BACKLOG_S:
                return self._why
            self._why = ""
        self._period_s += 0.1 * (min(waited_s, 10.0) - self._period_s)  # learns how far apart pictures are
        return ""


class OwnClock:
    """The stream's own clock beside ours: a jump of one against the other is a change of what is shown."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def jumped(self, stream_s: float | None, arrived_s: float) -> bool:
        """Whether it jumped, forward or back, since the picture before."""
        if stream_s is None:
            return False
        last, self._last = self._last, (stream_s, arrived_s)
        if last is None:
            return False
        step_s = stream_s - last[0]
        return step_s < 0 or abs(step_s - (arrived_s - last[1])) > JUMP_S


class Seen:
    """Knows the pictures that a playlist has shown: one that is opened again begins with some of them."""

    def __init__(self) -> None:
        self._marks = deque[tuple[float, int]](maxlen=MOST_SEEN)
        self._before: frozenset[tuple[float, int]] = frozenset()

    def opened(self) -> None:
        """What was shown until now is no news any more."""
        self._before = frozenset(self._marks)

    def again(self, stream_s: float | None, image: Image) -> bool:
        """Whether a picture was shown before the playlist was opened: the same at the same time of its clock."""
        if stream_s is None:
            return False
        mark = stream_s, zlib.crc32(image[::16].tobytes())
        self._marks.append(mark)
        return mark in self._before


class Pace:
    """Shows pictures that come in bursts, or from a file, at the speed of their own clock."""

    def __init__(self) -> None:
        self._anchor_s: float | None = None

    def wait(self, stream_s: float | None) -> None:
        """Sleep until a picture is due; one that is more than a second late sets the clock anew."""
        now_s = time.perf_counter()
        if stream_s is None:
            return
        if self._anchor_s is None or not -1.0 < self._anchor_s + stream_s - now_s < 60.0:
            self._anchor_s = now_s - stream_s
        time.sleep(max(0.0, self._anchor_s + stream_s - now_s))
