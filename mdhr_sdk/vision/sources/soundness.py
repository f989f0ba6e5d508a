"""Which packets and pictures of a track are damaged, and before which of them something is missing."""

from __future__ import annotations

from collections import deque
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .containers.losses import Absent, Index, Zeros, follower
from .containers.picture import restarts
from .source import Damage

JOIN_PACKETS = 3
KEYS = 16  # of the last key packets, as many as FFmpeg has frame threads at most
ONE_EACH = frozenset(("h264", "hevc"))  # each packet is one picture, but for fields


class Soundness:
    """Judges the packets of a track before they are decoded, and the pictures that come out.

    Args:
        container: open for reading.
        track: the picture track.
        damage: counts the packets and pictures that were lost.
        live: whether it is a live stream, whose packets nothing counts.
        file: as of `Decoder`.

    Attributes:
        spoilt: the picture at hand was decoded past an error.
    """

    def __init__(
        self, container: InputContainer, track: VideoStream, damage: Damage, live: bool, file: BinaryIO | None
    ) -> None:
        names = set(container.format.name.split(","))
        self.spoilt = False
        self._track = track
        self._damage = damage
        self._restarts = restarts(container)
        self._segmented = "hls" in names  # each segment may count its packets anew
        self._follows = None if live else follower(names, track, file)  # knows where packets are missing
        self._zeros = Zeros(track)
        whole = not live and not self._restarts and "avi" not in names
        self._absent = Absent() if whole and track.codec_context.name in ONE_EACH else None
        self._hole = False  # bytes were passed over since the track's last packet
        self._lost = False  # pictures were lost since the last one
        self._dirty = False  # until the next key frame, pictures are made from damaged ones
        self._dirty_from: int | None = None  # the stamp of the damage, where it is known
        self._suspect: tuple[int | None, int] | None = None  # stamp and number of a packet marked as corrupt
        self._keys: deque[int | None] = deque(maxlen=KEYS)  # their stamps
        self._next_dts: int | None = None
        self._packets = 0

    def placed(self, packet: av.Packet) -> None:
        """A packet was read, of this track or another one that is read too."""
        if self._follows is not None:
            self._hole |= self._follows.lost_before(packet)

    def accepts(self, packet: av.Packet | None) -> bool:
        """Whether to decode the next packet, None at the end; counts those that are known as damaged."""
        self.spoilt = False
        if self._suspect is not None:
            self._judge(*self._suspect, packet)
        if self._hole:
            self._hole = False
            self.hurt(None if packet is None else packet.pts)
        if packet is None:
            return True
        if packet.is_keyframe:
            self._keys.append(packet.pts)
        elif self._dirty_from is not None and packet.pts is not None:
            self._dirty_from = min(self._dirty_from, packet.pts)  # made from what is damaged, and shown before it
        self._packets += not packet.is_discard
        if self._absent is not None and not self._absent.sent(packet):
            self._absent = None
        self._next_dts = None if packet.dts is None else packet.dts + (packet.duration or 0)
        if packet.is_corrupt and self._restarts:
            self._suspect = packet.pts, self._packets
        elif packet.is_corrupt:  # cut short by the end of the file
            self.hurt(packet.pts)
            return False
        elif self._zeros.inside(packet):
            self.hurt(packet.pts)
        return True

    def _judge(self, stamp: int | None, number: int, packet: av.Packet | None) -> None:
        """Where two broadcasts were joined, the last packets before are marked as corrupt, and nothing is lost."""
        starts = packet is not None and packet.is_keyframe
        joined = starts and (self._segmented or packet is None or packet.dts != self._next_dts)
        if not joined and packet is not None and self._packets - number < JOIN_PACKETS:
            return
        self._suspect = None
        if not joined:
            self.hurt(stamp)

    def hurt(self, stamp: int | None) -> None:
        """Something was lost. `stamp` is of the picture from which on it shows; None for the next one."""
        self._damage.count += 1
        self._lost = True
        self._dirty = True
        self._dirty_from = stamp

    def of(self, frame: av.VideoFrame) -> tuple[str, bool]:
        """The note of a frame, and whether pictures were lost before it; a key frame after a loss is noted too."""
        self._lost |= self._lacks(frame)
        if self._dirty_from is not None and frame.pts is not None and frame.pts < self._dirty_from:
            return "damaged" if frame.is_corrupt else "", False  # it was read before the damage
        lost, self._lost = self._lost, False
        if frame.is_corrupt or self.spoilt:
            self._damage.count += self.spoilt or not self._dirty
            self._dirty, self._dirty_from = True, None
            return "damaged", lost
        if frame.key_frame and (frame.pts is None or frame.pts in self._keys):  # dav1d is wrong about some after damage
            self._dirty, self._dirty_from = False, None
        return "damaged" if self._dirty or lost else "", lost

    def end(self, pictures: int) -> None:
        """The decoder gave so many pictures, and gives no more: count those that never came."""
        self._damage.count = max(self._damage.count, self._missing(pictures))

    def _lacks(self, frame: av.VideoFrame) -> bool:
        """Whether pictures before this one never came out of the decoder, and nothing else told of it."""
        if frame.interlaced_frame:  # whose fields may be packets of their own
            self._absent = None
        if self._absent is None or not self._absent.before(frame.pts, bool(frame.key_frame)):
            return False
        told = self._dirty
        self._damage.count = max(self._damage.count, self._absent.count)
        return not told

    def _missing(self, pictures: int) -> int:
        """Pictures that never came, of a file that tells how many it has; most are lost without an error."""
        if isinstance(self._follows, Index):
            return self._follows.pictures - pictures
        if self._absent is not None:
            return self._packets - pictures - self._absent.leading
        return self._packets - pictures if self._damage.count and self._track.frames else 0
