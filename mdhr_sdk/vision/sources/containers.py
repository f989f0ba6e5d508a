"""The little that OpenCV does not tell about a video file."""

from __future__ import annotations

import struct
from pathlib import Path


def movie_duration_s(path: Path) -> float | None:
    """Playing time in seconds that the header of an mp4 or mov file declares; None for other files.

    It counts what its edit list plays. A clip that was trimmed without re-encoding still stores, and counts, the
    frames from the key frame before its start.
    """
    header = _movie_box(path)
    at = header.find(b"mvhd") + 4
    layout = ">16xIQ" if header[at : at + 1] == b"\x01" else ">8xII"  # version, times of creation and change first
    if at < 4 or len(header) < at + 4 + struct.calcsize(layout):
        return None
    scale, duration = struct.unpack_from(layout, header, at + 4)
    return duration / scale if scale and duration else None


def _movie_box(path: Path) -> bytes:
    """The 'moov' box of a file that is a row of boxes (size, name, content), or nothing."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            read = 8
            if size == 1:  # a size beyond 32 bits follows the name
                size, read = int.from_bytes(file.read(8), "big"), 16
            if name == b"moov":
                return file.read(size - read) if size > read else b""
            if size < read:
                break
            file.seek(size - read, 1)
    return b""
