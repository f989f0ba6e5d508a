"""Where packets or pictures of a file are missing: FFmpeg passes over what is damaged without an error."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Set
from heapq import heappop, heappush
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import av
from av.video.stream import VideoStream

NEAR_BYTES = 64  # so little may be anything; what stands between the packets of a sound file is about 25
BLOCKS = frozenset((0xA3, 0xA1))
ENTERED = frozenset((0x18538067, 0x1F43B675, 0xA0))  # segment, cluster and group of a block
# All else that stands between blocks: padding, check sums, times, what belongs to a block, and the lists of a file.
PASSED = frozenset((
    0xEC, 0xBF, 0xE7, 0xA7, 0xAB, 0x5854, 0xAF, 0x9B, 0xFB, 0xFD, 0xFA, 0xA4, 0x75A1, 0x75A2, 0x8E, 0xC8, 0x1C53BB6B,
    0x1254C367, 0x114D9B74, 0x1043A770, 0x1941A469, 0x1A45DFA3, 0x1549A966, 0x1654AE6B,
))  # fmt: skip
FRAGMENT_S = 0.1  # what writers of fragments get wrong at most about how long a last picture lasts
MOST_BOXES = 100  # before the first fragment
MOST_ELEMENTS = 10_000  # between two packets
AVI_HEAD_BYTES = 8  # of a packet, in the file
ZEROS = 16  # so many in a row; three are never in a coded picture
NOT_CODED_BYTES = 19  # in so few MPEG-4 says that a picture is that before; FFmpeg's bound


class _Element(NamedTuple):
    kind: int
    start: int  # of what it holds
    size: int | None  # None where the file does not say


class Blocks:
    """Follows the packets of a Matroska file.

    Args:
        file: the same file, open for reading in bytes.
        track: index of the picture track.
    """

    def __init__(self, file: BinaryIO, track: int) -> None:
        self._file = file
        self._track = track
        self._number: int | None = None  # of the picture track, as blocks have it
        self._end: tuple[int, int] | None = None  # of the packet before: where it began, and its bytes

    def lost_before(self, packet: av.Packet) -> bool:
        """Whether pictures may have been passed over since the packet before; give it every packet of the file."""
        if packet.pos is None or packet.pos < 0:
            return False
        before, self._end = self._end, (packet.pos, packet.size)
        if self._number is None and packet.stream_index == self._track:
            self._number = self._vint(packet.pos)[0]
        if before is None or packet.pos - sum(before) <= NEAR_BYTES:
            return False
        return not self._whole(before[0], packet.pos)

    def _whole(self, block: int, following: int) -> bool:
        """Whether known elements, and no block of the picture track, lead from one block to another's contents."""
        at = self._end_of(block)
        for _ in range(MOST_ELEMENTS):
            if at is None or at >= following:
                return False
            element = self._element(at)
            if element.kind in BLOCKS and element.start == following:
                return True
            if element.kind in ENTERED:
                at = element.start
            elif element.size is None or not self._beside(element):
                return False
            else:
                at = element.start + element.size
        return False

    def _beside(self, element: _Element) -> bool:
        """Whether an element is known, and no picture."""
        if element.kind in BLOCKS:
            return self._vint(element.start)[0] != self._number
        return element.kind in PASSED

    def _end_of(self, block: int) -> int | None:
        """Where a block ends, by the size that stands before its contents."""
        head = self._read(max(0, block - 9), min(9, block))
        for length in range(1, len(head)):
            if head[-length - 1] in BLOCKS and _length(head[-length]) == length:
                return block + int.from_bytes(head[-length:], "big") - (1 << 7 * length)
        return None

    def _element(self, at: int) -> _Element:
        data = self._read(at, 12)
        named = _length(data[0]) if data else 9
        if named > 4 or len(data) <= named:
            return _Element(0, at, None)
        size, taken = self._vint(at + named)
        return _Element(int.from_bytes(data[:named], "big"), at + named + taken, size)

    def _vint(self, at: int) -> tuple[int | None, int]:
        """A number of one to eight bytes, and how many they are; None for one that says it is not known."""
        data = self._read(at, 8)
        length = _length(data[0]) if data else 9
        if length > len(data):
            return None, length
        number = int.from_bytes(data[:length], "big") - (1 << 7 * length)
        return (None if number == (1 << 7 * length) - 1 else number), length

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)


class Index:
    """Follows the packets of an AVI by its index.

    FFmpeg numbers those that it finds, so that all after a loss would come early. An entry of no bytes shows the
    picture before once more.
    """

    def __init__(self, track: VideoStream) -> None:
        full = [entry for entry in track.index_entries if entry.size]
        least = NOT_CODED_BYTES if track.codec_context.name == "mpeg4" else 0
        self.pictures = sum(entry.size > least for entry in full)
        self._stamps = {entry.pos + AVI_HEAD_BYTES: (number, entry.timestamp) for number, entry in enumerate(full)}
        self._before = -1

    def lost_before(self, packet: av.Packet) -> bool:
        """Give a packet its own time; whether there were others since the packet before."""
        number, stamp = self._stamps.get(-1 if packet.pos is None else packet.pos, (None, 0))
        if number is None:  # it has no index, or not for this one
            return False
        if packet.pts is not None and packet.dts is not None:
            packet.pts += stamp - packet.dts
        packet.dts = stamp
        before, self._before = self._before, number
        return number > before + 1


class Tags:
    """Follows the packets of an FLV, in which each part tells where the next one is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._before: int | None = None

    def lost_before(self, packet: av.Packet) -> bool:
        """Whether pictures may have been passed over since the packet before; give it every packet of the file."""
        before, self._before = self._before, packet.pos
        if before is None or packet.pos is None:
            return False
        at, _ = self._tag(before)
        while at < packet.pos:
            at, pictured = self._tag(at)
            if pictured:
                return True
        return at != packet.pos

    def _tag(self, at: int) -> tuple[int, bool]:
        """Where the next part begins, and whether this one is a picture."""
        self._file.seek(at)
        head = self._file.read(13).ljust(13, b"\0")
        form, kind = head[11], head[12]
        pictured = form & 15 in (1, 3) if form & 128 else form >> 4 != 5 and (form & 15 != 7 or kind == 1)
        return at + 15 + int.from_bytes(head[1:4], "big"), head[0] & 31 == 9 and pictured


class Fragments:
    """Follows the packets of a fragmented mp4. Each tells how long it lasts, and each fragment has a number.

    A step in time is a loss, but not where the numbers go on: many guess how long a picture before a pause lasts.

    Args:
        file: the same file, open for reading in bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._due: int | None = None
        self._before = -1  # where the packet before lies
        self._at: int | None = 0  # where the next box begins; None where none does
        self._starts: list[int] = []  # of the fragments so far
        self._numbers: list[int] = []

    def lost_before(self, packet: av.Packet) -> bool:
        """Whether pictures may have been passed over since the packet before; give it every packet of the track."""
        if packet.dts is None:
            return False
        due, self._due = self._due, packet.dts + (packet.duration or 0)
        before, self._before = self._before, -1 if packet.pos is None else packet.pos
        late = due is not None and (packet.dts - due) * (packet.time_base or 0) > FRAGMENT_S
        return late and not self._numbered(before, self._before)

    def _numbered(self, before: int, now: int) -> bool:
        """Whether the numbers of the fragments go on, from one place in the file to another."""
        while self._at is not None and self._at <= now:
            kind, end, inside = _box(self._file, self._at)
            if kind == b"moof":
                self._starts.append(self._at)
                self._numbers.append(int.from_bytes(inside[12:16], "big") if inside[4:8] == b"mfhd" else -1)
            self._at = end
        first, last = (bisect_right(self._starts, place) - 1 for place in (before, now))
        steps = pairwise(self._numbers[first : last + 1])
        return self._at is not None and 0 <= first <= last and all(after == one + 1 for one, after in steps)


class Absent:
    """Pictures that a decoder was given and never gave back, which it mostly does without an error.

    Attributes:
        count: pictures that are known to lack.
        leading: pictures that are shown before the key frame with which reading began, and have not come. They may be
            made from what is before it, and then no player shows them.
    """

    def __init__(self) -> None:
        self.count = self.leading = 0
        self._begun = False
        self._first: int | None = None  # stamp of that key frame
        self._waiting: list[int] = []  # stamps of packets whose pictures may still come; a heap
        self._passed = self._shown = 0
        self._dts: int | None = None

    def sent(self, packet: av.Packet) -> bool:
        """Note a packet that is decoded; False where the clock goes back, so that nothing can be told from then on."""
        before, self._dts = self._dts, packet.dts
        if not self._begun:
            self._begun, self._first = True, packet.pts if packet.is_keyframe else None
        if packet.pts is None or packet.is_discard:
            return True
        if self._leads(packet.pts):
            self.leading += 1
        else:
            heappush(self._waiting, packet.pts)
        return before is None or packet.dts is None or packet.dts >= before

    def before(self, stamp: int | None, key: bool) -> bool:
        """Note a picture, in the order in which they come; whether more than before are known to lack.

        That shows at key pictures: all that is shown before one has come by then.
        """
        if self._leads(stamp):
            self.leading -= 1
            return False
        while stamp is not None and self._waiting and self._waiting[0] < stamp:
            heappop(self._waiting)
            self._passed += 1
        lacking, before = self._passed - self._shown, self.count
        self.count = max(before, lacking) if key else before
        self._shown += 1
        return self.count > before

    def _leads(self, stamp: int | None) -> bool:
        return stamp is not None and self._first is not None and stamp < self._first


def follower(names: Set[str], track: VideoStream, file: BinaryIO | None) -> Blocks | Tags | Index | Fragments | None:
    """What knows where packets of a format are missing; None for most formats, and for others without their file."""
    if "avi" in names:
        return Index(track)
    if file is None:
        return None
    if "mp4" in names:
        return Fragments(file) if _fragmented(file) else None  # the others have no gaps
    return Blocks(file, track.index) if names & {"matroska", "webm"} else Tags(file) if "flv" in names else None


def _fragmented(file: BinaryIO) -> bool:
    """Whether an mp4 consists of fragments, each with times of its own."""
    at: int | None = 0
    for _ in range(MOST_BOXES):
        if at is None:
            return False
        kind, at, _ = _box(file, at)
        if kind == b"moof":
            return True
    return False


def _box(file: BinaryIO, at: int) -> tuple[bytes, int | None, bytes]:
    """The kind of an mp4's box, where the next one begins, None if nowhere, and 16 bytes of what is in it."""
    file.seek(at)
    head = file.read(24).ljust(24, b"\0")
    length, kind, long = struct.unpack(">I4sQ", head[:16])
    length = long if length == 1 else length
    return kind, at + length if length >= 8 else None, head[8:]


class Zeros:
    """Finds zeros in packets of H.264 and HEVC, which no encoder writes: a hole in a file is often filled with them.

    Decoders take them for pictures without a change. Zeros at the end of a part of a picture are padding.
    """

    def __init__(self, track: VideoStream) -> None:
        extradata, codec = track.codec_context.extradata or b"", track.codec_context.name
        self._coded = codec in ("h264", "hevc")
        self._length_bytes = 0  # that stand before each part; 0 where parts begin with zeros and a one
        if extradata[:1] == b"\1":
            place = 4 if codec == "h264" else 21
            self._length_bytes = 1 + (extradata[place] & 3 if place < len(extradata) else 3)

    def inside(self, packet: av.Packet) -> bool:
        data = bytes(packet) if self._coded else b""
        at = data.find(bytes(ZEROS))
        if at < 0:
            return False
        if self._length_bytes:
            return self._in_parts(data)
        return data[at:].lstrip(b"\0")[:1] not in (b"", b"\1")

    def _in_parts(self, data: bytes) -> bool:
        """Whether zeros are within a part, or where the length of one should be."""
        start = 0
        while start < len(data):
            head = start + self._length_bytes
            end = head + int.from_bytes(data[start:head], "big")
            if end == head:
                return start == 0 or data[start:].strip(b"\0") != b""
            if bytes(ZEROS) in data[head:end].rstrip(b"\0"):
                return True
            start = end
        return False


def _length(first: int) -> int:
    """Bytes of a number that begins with this one; 9 for none."""
    return 9 - first.bit_length()
