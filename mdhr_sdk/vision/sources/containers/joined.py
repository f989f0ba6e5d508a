"""Recordings that were joined end to end in one file, of which FFmpeg reads the first only, or mixes them up."""

from __future__ import annotations

import itertools
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from io import SEEK_CUR, SEEK_END
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

CHUNK_PACKETS = 1 << 15  # of a broadcast that are looked at together: 6 MB
PLACES, SAMPLE_PACKETS = 32, 1 << 13  # of a long one that are looked at first; tables come ten times a second
AFTER_LOSS_PACKETS = 64  # that are looked at first where packets begin again, then twice as many
SEARCHED_BYTES = 1 << 16  # at once, for where something begins
LARGEST_BYTES = 1 << 30
MOST_BOXES = 1_000_000  # of an mp4 that are looked at: half a million fragments
MOST_PARTS = 10_000  # the last one has the rest
PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of a broadcast's packets, and where in them their first byte 0x47 is
VIDEO_TYPES = frozenset((0x01, 0x02, 0x10, 0x1B, 0x20, 0x24, 0x33, 0xD1, 0xEA))
PROGRAMS, TRACKS = 0, 2  # kinds of tables
BEFORE_TABLE = 64  # packets; the list of programs stands so shortly before what it lists
# How files begin of which FFmpeg reads one, whatever tracks they have.
BEGINNINGS = (
    re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0{4}"),
    re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"),
    re.compile(rb"DKIF\0\0\x20\0(?=[A-Z0-9]{4})"),
    re.compile(rb"nut/multimedia container\0"),
    re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02[\x01-\x04]\0"),  # MXF
)
LONGEST_BEGINNING = 25


class Window:
    """A part of a file, for `av.open`."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._end = file, start, end
        self._at = start

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else max(0, min(size, left)))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {SEEK_CUR: self._at, SEEK_END: self._end}.get(whence, self._start)
        self._at = max(self._start, base + offset)
        return self.tell()

    def tell(self) -> int:
        return self._at - self._start


def parts_of(path: Path) -> list[tuple[int, int]]:
    """(start, end) in bytes of the recordings in a file: one, as a rule.

    A broadcast's parts are those with other picture tracks. A long one is looked into at some places only, and wholly
    if its tracks differ there. FLV, WMV, IVF, NUT and MXF are looked through where they have a gigabyte at most.
    """
    with path.open("rb") as file:
        head, size = file.read(5 * max(PACKETS)[0]), os.fstat(file.fileno()).st_size
        starts: Iterable[int] = ()
        layout = next((one for one in PACKETS if _in_step(head, *one)), None)
        if head[4:8] == b"ftyp":
            starts = _of_boxes(file, size)
        elif mark := next((one for one in BEGINNINGS if one.match(head)), None):
            starts = _of_beginnings(file, mark, head[:4]) if size <= LARGEST_BYTES else ()
        elif layout and _differs(file, size, *layout):
            starts = _of_tables(_tables(file, *layout), layout[0])
        found = [*itertools.islice(starts, MOST_PARTS - 1)]
    return [*zip([0, *found], [*found, size], strict=True)]


def is_broadcast(path: Path) -> bool:
    """Whether a file is an MPEG transport stream, by its content."""
    with path.open("rb") as file:
        head = file.read(5 * max(PACKETS)[0])
    return any(_in_step(head, *one) for one in PACKETS)


def _of_boxes(file: BinaryIO, size: int) -> Iterator[int]:
    """Of mp4: where the next ftyp and moov follow."""
    at, started, movies = 0, 0, 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        length, kind, long = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        length = long if length == 1 else length
        if kind == b"ftyp":
            started = at
        elif kind == b"moov":
            movies += 1
            if started and movies > 1:
                yield started
                started = 0
        at += length
        if length < 8 or at + 8 > size:
            return


def _of_beginnings(file: BinaryIO, mark: re.Pattern[bytes], first: bytes) -> Iterator[int]:
    """Where a mark comes again; `first` are its first bytes, which are found more quickly."""
    at, last, held = 0, 0, b""
    file.seek(0)
    while read := file.read(SEARCHED_BYTES):
        data = held + read
        for found in mark.finditer(data) if first in data else ():
            if at + found.start() > last:  # else it was found in the bytes before, too
                last = at + found.start()
                yield last
        held = data[1 - LONGEST_BEGINNING :]
        at += len(data) - len(held)


class _Row(NamedTuple):
    at: int  # of the packet in the file
    pid: int
    payload: bytes


def _differs(file: BinaryIO, size: int, stride: int, lead: int) -> bool:
    """Whether a broadcast's tables are not the same all over; for one that is short, whether to look."""
    if size <= PLACES * CHUNK_PACKETS * stride:
        return True
    places = (size // stride * number // PLACES * stride for number in range(PLACES))
    samples = (_tables(file, stride, lead, place, place + SAMPLE_PACKETS * stride) for place in places)
    return any(True for _ in _of_tables((row for rows in samples for row in rows), stride))


def _of_tables(tables: Iterable[_Row], stride: int) -> Iterator[int]:
    """Of a broadcast: where its tables name other programs, or other picture tracks of a program."""
    programs: frozenset[int] = frozenset()
    tracks: dict[int, tuple[tuple[int, int], ...]] = {}  # of each program
    listed_at = 0
    for row in tables:
        if row.pid == 0:
            listed, listed_at = _programs(row.payload), row.at
            if tracks and listed and not listed & programs:
                yield row.at
                tracks = {}
            programs = listed or programs
        elif now := _tracks(row.payload):
            before = tracks.get(row.pid, now)
            if now != before:
                yield listed_at if row.at - listed_at < BEFORE_TABLE * stride else row.at
                tracks = {}
            tracks[row.pid] = now


def _tables(file: BinaryIO, stride: int, lead: int, at: int = 0, end: float = math.inf) -> Iterator[_Row]:
    """The packets that hold the list of programs (PID 0), and of the tracks of each; from one place to another."""
    pids, count = [0], CHUNK_PACKETS
    while at < end:
        file.seek(at)
        data = np.frombuffer(file.read(int(min(count * stride, end - at))), np.uint8)
        packets = data[: len(data) // stride * stride].reshape(-1, stride)
        if not len(packets):
            return
        out_of_step = np.flatnonzero(packets[:, lead] != 0x47)
        packets = packets[: out_of_step[0]] if len(out_of_step) else packets
        pid = (packets[:, lead + 1] & 0x1F).astype(int) << 8 | packets[:, lead + 2]
        begins = (packets[:, lead + 1] & 0x40) > 0
        for number in np.flatnonzero(begins & (pid == 0)):
            pids += _programs(_payload(packets[number], lead, PROGRAMS)) - {*pids}
        for number in np.flatnonzero(begins & np.isin(pid, pids)):
            table = TRACKS if pid[number] else PROGRAMS
            yield _Row(at + int(number) * stride, int(pid[number]), _payload(packets[number], lead, table))
        at += len(packets) * stride
        count = min(CHUNK_PACKETS, 2 * count)
        if len(out_of_step):
            at, count = _next_step(file, at, end, stride, lead), AFTER_LOSS_PACKETS


def _next_step(file: BinaryIO, at: int, end: float, stride: int, lead: int) -> int:
    """Where packets begin again, four at least, after some bytes that are none; the end where there are none."""
    while at < end:
        file.seek(at)
        marks = np.frombuffer(file.read(SEARCHED_BYTES), np.uint8)[lead:] == 0x47
        places = len(marks) - 3 * stride
        if places <= 0:
            return at + lead + len(marks)
        found = np.flatnonzero(np.all([marks[one * stride :][:places] for one in range(4)], axis=0))
        if len(found):
            return at + int(found[0])
        at += places
    return at


def _in_step(data: bytes, stride: int, lead: int) -> bool:
    """Whether packets begin here: three at least, and up to five."""
    return len(data) > 2 * stride + lead and {*data[lead : 5 * stride : stride]} == {0x47}


def _payload(packet: NDArray[np.uint8], lead: int, table: int) -> bytes:
    """A table's section without its head of eight bytes and its check sum, as far as it is in this packet.

    Nothing of a table of another kind, and of one that is only announced.
    """
    data = packet[lead:].tobytes()
    at = 4 + (1 + data[4] if data[3] & 0x20 else 0)
    at += 1 + data[at] if at < len(data) else 0
    if at + 8 > len(data) or data[at] != table or not data[at + 5] & 1:
        return b""
    length = (data[at + 1] & 0x0F) << 8 | data[at + 2]
    return data[at + 8 : min(at + 3 + length - 4, 188)]


def _programs(payload: bytes) -> frozenset[int]:
    """The PIDs of the programs' own tables."""
    entries = struct.iter_unpack(">HH", payload[: len(payload) // 4 * 4])
    return frozenset(pid & 0x1FFF for program, pid in entries if program)


def _tracks(payload: bytes) -> tuple[tuple[int, int], ...]:
    """(PID, type) of a program's picture tracks."""
    if len(payload) < 4:
        return ()
    at, found = 4 + ((payload[2] & 0x0F) << 8 | payload[3]), []
    while at + 5 <= len(payload):
        kind, pid, more = struct.unpack_from(">BHH", payload, at)
        if kind in VIDEO_TYPES:
            found.append((pid & 0x1FFF, kind))
        at += 5 + (more & 0x0FFF)
    return tuple(found)
