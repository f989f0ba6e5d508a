"""The pauses in the edit list of an mp4, which FFmpeg fills with pictures of its own choice."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..source import Opened, Picture

LARGEST_BYTES = 1 << 20  # of a box of one track's edits; all others are passed over
SLACK_S = 1e-3
EMPTY = -1  # the time of an edit that shows nothing


class _Box(NamedTuple):
    kind: bytes
    start: int  # of what it holds
    end: int


def pauses_of(path: Path, track_id: int) -> list[tuple[float, float]]:
    """(from, to) in seconds of playing time, where a track shows nothing after it has begun; empty for most files."""
    with path.open("rb") as file:
        if file.read(8)[4:] not in (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"):
            return []
        size = file.seek(0, 2)

        def inside(box: _Box, *kinds: bytes) -> Iterator[_Box]:
            """The boxes of the first of these kinds, and in them those of the next, and so on."""
            at = box.start
            while at + 8 <= box.end:
                file.seek(at)
                length, kind, long = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
                head, length = (16, long) if length == 1 else (8, length or box.end - at)
                if length < head:
                    return
                one = _Box(kind, at + head, min(at + length, box.end))
                if kind == kinds[0]:
                    yield from inside(one, *kinds[1:]) if len(kinds) > 1 else (one,)
                at += length

        def data(box: _Box) -> bytes:
            file.seek(box.start)
            return file.read(min(box.end - box.start, LARGEST_BYTES))

        whole = _Box(b"", 0, size)
        scale = next((_field(data(box), 12, 20, ">I") for box in inside(whole, b"moov", b"mvhd")), 0)
        for track in inside(whole, b"moov", b"trak"):
            ids = [_field(data(box), 12, 20, ">I") for box in inside(track, b"tkhd")]
            edits = [edit for box in inside(track, b"edts", b"elst") for edit in _rows(data(box))]
            if scale and ids == [track_id]:
                return [*_pauses(edits, scale)]
    return []


def without(opened: Opened, pauses: Sequence[tuple[float, float]]) -> Opened:
    """A video without the pictures that lie in a pause."""
    fewer = round(opened.fps * sum(end - start for start, end in pauses))
    count = None if opened.frame_count is None else max(1, opened.frame_count - fewer)
    return opened._replace(images=_shown(map(Picture._make, opened.images), pauses), frame_count=count)


def _shown(pictures: Iterator[Picture], pauses: Sequence[tuple[float, float]]) -> Iterator[Picture]:
    for picture in pictures:
        if not any(start - SLACK_S <= picture.timestamp_s < end - SLACK_S for start, end in pauses):
            yield picture


def _field(data: bytes, short: int, long: int, kind: str) -> int:
    """A number of a box that has one version of 32 and one of 64 bits."""
    at = long if data[:1] == b"\1" else short
    return int(struct.unpack_from(kind, data, at)[0]) if at + struct.calcsize(kind) <= len(data) else 0


def _rows(data: bytes) -> list[tuple[int, int]]:
    """(duration, media time) of each edit."""
    layout = ">Qqi" if data[:1] == b"\1" else ">Iii"
    size = struct.calcsize(layout)
    rows = data[8 : 8 + min(_field(data, 4, 4, ">I"), len(data) // size) * size]
    return [(lasts, at) for lasts, at, _ in struct.iter_unpack(layout, rows[: len(rows) // size * size])]


def _pauses(edits: Sequence[tuple[int, int]], scale: int) -> Iterator[tuple[float, float]]:
    at, begun = 0, False
    for lasts, media in edits:
        if media == EMPTY and begun:
            yield at / scale, (at + lasts) / scale
        begun |= media != EMPTY
        at += lasts
