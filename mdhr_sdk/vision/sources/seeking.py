"""Going to a time of a video file without decoding what is before it, where that changes no picture. Needs PyAV."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

SEEKABLE = frozenset(("mp4", "matroska", "webm"))  # formats whose packets all have stamps of their own
WORTH_S = 2.0  # below this, decoding from the beginning is as fast
LONGEST_REORDER_S = 2.0  # between a packet's decoding and showing; more is a strange stamp


@dataclass(frozen=True)
class KeyPicture:
    """A key picture that decoding can begin at.

    Attributes:
        pts: its stamp.
        index: how many pictures are shown before it.
        packets: how many packets are before it.
    """

    pts: int
    index: int
    packets: int


def key_before(container: InputContainer, track: VideoStream, time_s: float) -> KeyPicture | None:
    """The last key picture that is shown at `time_s` of the file or before; None where one must decode from the start.

    Reads the packets up to there without decoding them, which counts the pictures. Nothing that is decoded after such
    a key picture is shown before it, and nothing before it is shown after it: so the pictures that follow are those of
    decoding from the start. The file must be read again from somewhere after this.
    """
    base = track.time_base
    if base is None or not SEEKABLE & set(container.format.name.split(",")):
        return None
    target = int(time_s / base)
    found: KeyPicture | None = None
    candidate: KeyPicture | None = None
    shown = packets = 0
    latest, last_dts = -1, None
    try:
        for packet in container.demux(track):
            if not packet.size:
                continue
            pts, dts = packet.pts, packet.dts
            if pts is None or dts is None or packet.is_corrupt or (last_dts is not None and dts < last_dts):
                return None
            if not 0 <= (pts - dts) * base <= LONGEST_REORDER_S:
                return None
            last_dts = dts
            if candidate is not None and pts < candidate.pts:
                candidate = None  # a picture that is decoded after the key and shown before it
            elif candidate is not None and dts >= candidate.pts:
                found, candidate = candidate, None
            if dts > target:
                return found
            if packet.is_keyframe and not packet.is_discard and latest < pts <= target and shown:
                candidate = KeyPicture(pts, shown, packets)
            latest = max(latest, pts)
            shown += not packet.is_discard
            packets += 1
    except av.error.FFmpegError:
        return None
    return found
