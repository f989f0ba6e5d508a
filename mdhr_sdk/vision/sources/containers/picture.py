"""The track of a file that is shown, and its rate. Needs PyAV."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ....errors import SourceError

DEFAULT_FPS = 25.0
FINEST_STAMPS = 1000  # a second
TS_DISCONT = 0x0200  # FFmpeg's AVFMT_TS_DISCONT
NO_VIDEOS = frozenset(("tty", "bin", "xbin", "adf", "idf"))  # FFmpeg draws text and old pictures of letters


def picture_track(container: InputContainer) -> VideoStream | None:
    """The track that a player shows; cover art is none. One without a decoder has no `codec_context`."""
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    known = [track for track in tracks if track.codec_context is not None]
    best = container.streams.best("video")
    return best if best in known else next(iter(known or tracks), None)


def known(track: VideoStream, name: str) -> VideoStream:
    """The track, or SourceError where there is no decoder for it."""
    if track.codec_context is None:
        raise SourceError(f"the codec of {name} cannot be decoded here; re-encode it as H.264 mp4")
    return track


def rate_of(track: VideoStream) -> float:
    """Frames a second, 0 where the track does not say. An AVI may show a picture less often: its index tells."""
    indexed = track.index_entries if track.container.format.name == "avi" else ()
    shown = [entry.timestamp for entry in indexed if entry.size]
    if len(shown) > 1 and shown[-1] > shown[0]:
        return float((len(shown) - 1) / ((shown[-1] - shown[0]) * (track.time_base or 1)))
    average, guessed = (float(rate or 0) for rate in (track.average_rate, track.guessed_rate))
    if guessed >= FINEST_STAMPS and guessed * float(track.time_base or 0) == 1:
        guessed = 0.0  # that of the stamps, where nothing tells of the pictures, as of what browsers record
    return next((rate for rate in (average, guessed) if 0 < rate < 10_000), 0.0)


def restarts(container: InputContainer) -> bool:
    """Whether the clock of this format may start again, as that of a broadcast."""
    return bool(container.format.flags & TS_DISCONT)
