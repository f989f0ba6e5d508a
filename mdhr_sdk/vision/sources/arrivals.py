"""The packets of a live stream, and when they came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import av


class Came(NamedTuple):
    """When a packet came, by `time.perf_counter`, and how long it was waited for."""

    arrived_s: float
    waited_s: float


class Arrived(NamedTuple):
    """A packet of a live stream, and those before it that were passed over, since it is newer."""

    packet: av.Packet
    came: Came
    passed: tuple[Came, ...] = ()


class Arrivals(Protocol):
    """Gives packets in their order.

    Attributes:
        overtaken: a newer packet has come since the last one was given.
    """

    @property
    def overtaken(self) -> bool: ...
    def __iter__(self) -> Iterator[Arrived]: ...
