"""Takes the packets of a live stream as they come: arrivals are known, and nothing waits in the network."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..arrivals import Arrived, Came
from .timing import Backlog

if TYPE_CHECKING:
    from typing_extensions import Self

HELD_BACK = frozenset(("rtsp", "mpegts"))  # whose packet is given once the next one begins: when that before was given
INTRA_ONLY = 1  # FFmpeg's AV_CODEC_PROP_INTRA_ONLY
BEHIND_S = 0.5  # of decoding; after that it goes on from a key frame that has come meanwhile
MOST_BYTES = 32 << 20  # that wait to be decoded
PATIENCE_S = 1.0  # beyond the source's own deadline


class Asked:
    """Gives each packet when it is asked for: the source waits, and nothing is passed over. A failed read ends it.

    Args:
        backlog: tells which packets are no news; None if all are.
    """

    overtaken = False

    def __init__(self, container: InputContainer, track: VideoStream, backlog: Backlog | None = None) -> None:
        self._backlog = backlog
        self._packets, self._index = container.demux(track), track.index
        formats = container.format.name.split(",")
        whole = track.codec_context.name == "mjpeg"  # but one after the other without a container
        self._held_back = "mjpeg" in formats or not (whole or HELD_BACK.isdisjoint(formats))

    def __iter__(self) -> Iterator[Arrived]:
        given_s, asked_s = 0.0, time.perf_counter()
        while True:
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError:
                return
            if packet is None:
                return
            if packet.size and packet.stream_index == self._index:
                before_s, given_s = given_s, time.perf_counter()
                arrived_s = before_s or given_s if self._held_back else given_s
                late = self._backlog.late(given_s - asked_s, arrived_s) if self._backlog else ""
                yield Arrived(packet, Came(arrived_s, late))
                asked_s = time.perf_counter()  # an empty part before the next picture may be what is waited for


class Intake:
    """Reads packets in a thread of its own, so that slow decoding neither delays nor hides their arrival.

    Of pictures that do not depend on each other only the newest is given. Of others all are given, but for those before
    a later key frame if decoding is half a second behind.

    Args:
        container: open; this closes it.
        timeout_s: within which a read of it ends.
        backlog: as of `Asked`.
    """

    def __init__(
        self, container: InputContainer, track: VideoStream, timeout_s: float, backlog: Backlog | None = None
    ) -> None:
        self._container = container
        self._read = Asked(container, track, backlog)
        self._timeout_s = timeout_s
        self._alone = bool(track.codec_context.codec.properties & INTRA_ONLY)
        self._changed = threading.Condition()
        self._waiting: deque[Arrived] = deque()
        self._bytes = 0  # of those that wait
        self._passed: Counter[str] = Counter()  # by reason, since the last one was given
        self._blind = False  # nothing can be decoded before the next key frame
        self._over = self._left = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mdhr takes packets", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread and close the container; one that does not answer is left open."""
        self._left = True
        self._thread.join(self._timeout_s + PATIENCE_S)
        if not self._thread.is_alive():
            self._container.close()

    def __iter__(self) -> Iterator[Arrived]:
        """The packets that are to be decoded, until the stream ends."""
        while (one := self._next()) is not None:
            yield one

    @property
    def overtaken(self) -> bool:
        """Whether a newer packet waits."""
        return bool(self._waiting)

    def _next(self) -> Arrived | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            if not self._waiting:
                if self._error is not None:
                    raise self._error
                return None
            for _ in range(self._useless()):
                self._pass_over(self._waiting.popleft())
            one, passed, self._passed = self._waiting.popleft(), self._passed, Counter()
            self._bytes -= one.packet.size
            return one._replace(passed=passed)

    def _useless(self) -> int:
        """How many of those that wait nobody needs any more; the lock is held."""
        if self._alone:
            return len(self._waiting) - 1
        if self._waiting[-1].came.arrived_s - self._waiting[0].came.arrived_s < BEHIND_S:
            return 0
        return max((number for number, one in enumerate(self._waiting) if one.packet.is_keyframe), default=0)

    def _pass_over(self, one: Arrived) -> None:
        self._bytes -= one.packet.size
        self._passed[one.came.late or "newer"] += 1

    def _run(self) -> None:
        try:
            for one in self._read:
                if self._left:
                    break
                with self._changed:
                    self._take(one)
                    self._changed.notify()
        except BaseException as error:  # raised where the packets are taken
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()

    def _take(self, one: Arrived) -> None:
        """Let a packet wait; the lock is held. If too much waits, all of it goes, and a key frame is waited for."""
        starts = self._alone or one.packet.is_keyframe
        self._blind = self._blind and not starts
        if self._bytes + one.packet.size > MOST_BYTES and self._waiting:
            while self._waiting:
                self._pass_over(self._waiting.popleft())
            self._blind = not starts
        if self._blind:
            self._passed[one.came.late or "newer"] += 1
            return
        self._waiting.append(one)
        self._bytes += one.packet.size
