"""The packets of a live stream, when they came, and which of their pictures nobody gets to see."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import av

MOST_REORDERED = 64  # packets whose pictures may still come
JUDGED = 9  # pictures by which fields are known

Passed = Mapping[str, int]  # how many were passed over, by reason
NONE_PASSED: Passed = {}


class Came(NamedTuple):
    """When a packet came, by `time.perf_counter`, and why it was no news then; '' if it was."""

    arrived_s: float
    late: str = ""


class Arrived(NamedTuple):
    """A packet of a live stream, and those before it that were passed over, since it is newer."""

    packet: av.Packet
    came: Came
    passed: Passed = NONE_PASSED


class Arrivals(Protocol):
    """Gives packets in their order.

    Attributes:
        overtaken: a newer packet has come since the last one was given.
    """

    @property
    def overtaken(self) -> bool: ...
    def __iter__(self) -> Iterator[Arrived]: ...


class Pending:
    """The packets that were given to a decoder and whose pictures have not come out, by their stamps.

    Attributes:
        passed: pictures that were passed over since this was last emptied, by reason.
    """

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self._came: dict[int, Came] = {}
        self._halves = deque[bool](maxlen=JUDGED)  # whether the last pictures had a second packet
        self._shown: int | None = None
        self._shown_s = 0.0
        self._from: int | None = None  # the key frame at which decoding went on, until a later picture has come

    def sent(self, stamp: int | None, came: Came) -> None:
        """A packet is decoded."""
        if stamp is None:
            return
        self._came[stamp] = came
        while len(self._came) > MOST_REORDERED:
            del self._came[next(iter(self._came))]

    def shown(self, stamp: int | None) -> Came | None:
        """A picture has come out: when its packet came, if that is known. Pictures before it come no more.

        Packets come in another order than pictures; no picture counts as come before the one that is shown before it.
        """
        if stamp is None:
            return None
        came, before = self._came.pop(stamp, None), [one for one in self._came if one < stamp]
        for one in before:
            del self._came[one]
        if self._from is None:
            self._halves.append(bool(before))
        else:  # those before the key frame are made from what was passed over
            self._count("newer", sum(one < self._from for one in before))
            self._from = None if stamp > self._from else self._from
        self._shown = stamp
        if came is not None:
            self._shown_s = max(self._shown_s, came.arrived_s)
            came = came._replace(arrived_s=self._shown_s)
        return came

    def jumped(self, stamp: int | None, passed: Passed) -> None:
        """Packets were passed over, and with them goes what has not come out; decoding goes on at this packet."""
        if self._shown is not None:
            self._count("newer", sum(one > self._shown for one in self._came))
        for why, packets in passed.items():
            self._count(why, packets)
        self._came.clear()
        self._from = stamp

    def _count(self, why: str, packets: int) -> None:
        """Count the pictures of so many packets: half as many, if each field has its own."""
        pictures = packets // 2 if 2 * sum(self._halves) > len(self._halves) else packets
        if pictures:
            self.passed[why] += pictures
