"""How long a video is by its own account, and how much of that is missing. Needs PyAV."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

HEAD_BYTES = 1 << 16  # of a WMV, where its size stands
# Its size in bytes, and flags, of which the first says that it was a broadcast and the size means nothing.
_ASF_SIZES = re.compile(
    rb"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65.{24}(.{8}).{40}(.{4})", re.DOTALL
)


def declared_frames(container: InputContainer, track: VideoStream, start_s: float, fps: float) -> int | None:
    """How many pictures a video says it has, if it does; an edit list may play a part only."""
    counts = [track.frames, indexed_packets(container, track)[1] or round(_promised_s(container, track, start_s) * fps)]
    return min((count for count in counts if count > 0), default=None)


def missing_s(
    container: InputContainer,
    track: VideoStream,
    file: BinaryIO | None,
    packets_read: int,
    period_s: float,
    start_s: float,
    end_s: float,
    all_end_s: float,
) -> float:
    """How much is missing at the end of a video that was read.

    Args:
        file: as of `Decoder`.
        start_s: the file's time at which it begins.
        end_s: the playing time at which its last picture ends.
        all_end_s: the file's time at which the last packet of all tracks ends.
    """
    names = _names(container)
    if indexed := indexed_packets(container, track)[0]:
        return (indexed - packets_read) * period_s
    if names & {"flv", "mxf"}:  # which declare one length for all their tracks
        return (container.duration or 0) / av.time_base - all_end_s
    if "ivf" in names:
        return (track.frames - packets_read) * period_s
    if "asf" in names and file is not None:
        return end_s * (_declared_share(file) - 1)
    return _promised_s(container, track, start_s) - end_s


def _names(container: InputContainer) -> set[str]:
    return set(container.format.name.split(","))


def indexed_packets(container: InputContainer, track: VideoStream) -> tuple[int, int]:
    """Packets in the index of an mp4, and how many of them are to be seen; it grows with the fragments that are read.

    No other format has such an index.
    """
    entries = list(track.index_entries) if "mp4" in _names(container) else []
    return sum(entry.size > 0 for entry in entries), sum(entry.size > 0 and not entry.is_discard for entry in entries)


def _promised_s(container: InputContainer, track: VideoStream, start_s: float) -> float:
    """When the picture ends by the file's own index; 0 where it has none, or FFmpeg only estimates it."""
    names = _names(container)
    if "avi" in names:  # whose frames all last one period
        return float(track.frames * (track.time_base or 0))
    if names & {"matroska", "webm"}:
        tagged = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", track.metadata.get("DURATION", "").strip("\0 "))
        if tagged:
            return 3600 * int(tagged[1]) + 60 * int(tagged[2]) + float(tagged[3]) - start_s
        if len(container.streams) == 1:
            return (container.duration or 0) / av.time_base
    return 0.0


def _declared_share(file: BinaryIO) -> float:
    """The size that a WMV says it has, as a share of the size that it has; 1 where it says nothing."""
    file.seek(0)
    found = _ASF_SIZES.search(file.read(HEAD_BYTES))
    if found is None or found[2][0] & 1:
        return 1.0
    return max(1.0, struct.unpack("<Q", found[1])[0] / max(1, file.seek(0, 2)))
