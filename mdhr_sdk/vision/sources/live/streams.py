"""Network streams, pipes, and files that are played as if live, through PyAV."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from ....errors import SourceError, number_of
from ..arrivals import Arrivals
from ..containers.picture import known, picture_track
from ..decode import Decoder
from ..source import Damage, Opened, Picture
from ..video import finite, open_video
from .connecting import MOST_PIXELS, connected, note_unusual, one_picture
from .intake import Asked, Intake
from .snapshots import open_snapshots
from .spec import LiveSpec
from .timing import Backlog, OwnClock, Pace, Seen

NETWORK = "rtsp,rtp,rtmp,rtmps,http,https,udp,tcp,tls,srt,crypto,data,hls,httpproxy"
PLAYLISTS = frozenset(("hls", "dash"))  # whose pictures come in bursts, a segment at a time
ENDLESS = PLAYLISTS | {"mpjpeg"}  # whose size is that of a list of what follows, or made up
CLOCKLESS = frozenset(("mpjpeg", "mjpeg", "image2pipe", "rawvideo"))  # whose times and rate FFmpeg makes up
PERIOD_S = 0.04  # of pictures, until it is known better
log = logging.getLogger("mdhr_sdk")
_seen: dict[str, Seen] = {}  # of each playlist that this process has read


@contextmanager
def open_stream(spec: LiveSpec, name: str) -> Iterator[Opened]:
    """Open a network stream. One with a length or size (a file on a web server) is read like a video."""
    if spec.fps is not None:
        with open_snapshots(spec, name) as snapshots:
            yield snapshots
        return
    failure = f"cannot open stream {name}: no picture came within {spec.timeout_s:g} s; check what the server sends"
    options = {"protocol_whitelist": NETWORK}
    if spec.address.lower().startswith("rtsp"):
        options["rtsp_transport"] = spec.transport  # TCP by default, which loses nothing on the way
    with ExitStack() as stack:
        container = stack.enter_context(connected(spec.address, spec, options, name))
        ended = bool(container.duration) and name in _seen  # a live playlist that has got its end meanwhile
        finished = container.duration or (container.size > 0 and container.format.name not in ENDLESS)
        if finished and container.format.name.endswith("_pipe"):
            log.info("%s", one_picture(name))
        if finished and not ended:
            opened = finite(container, name, Damage(), failure)
            assert opened is not None
            yield opened
        else:
            yield _endless(stack, container, spec, name, failure, ends=ended)


@contextmanager
def open_pipe(spec: LiveSpec, name: str) -> Iterator[Opened]:
    """Open what another program writes into a pipe. Its end is the end."""
    failure = (
        f"cannot read pictures from {name}; name their format, as '-#format=mpegts', or for raw ones "
        "'-#format=rawvideo&size=640x480&pixels=bgr24&fps=25'"
    )
    options = {"protocol_whitelist": "pipe,crypto,data"}
    if spec.format == "rawvideo":
        width, height = spec.size_px or (0, 0)
        options |= {"video_size": f"{width}x{height}", "pixel_format": spec.pixels or ""}
        options |= {"framerate": f"{spec.fps:g}"} if spec.fps else {}
    with ExitStack() as stack:
        container = stack.enter_context(connected(f"pipe:{spec.address}", spec, options, name, failure))
        yield _endless(stack, container, spec, name, failure, ends=True)


@contextmanager
def open_file(spec: LiveSpec, name: str) -> Iterator[Opened]:
    """Play a video file at its own speed. Its end is the end."""
    with open_video(Path(spec.address)) as opened:
        yield opened._replace(live=True, frame_count=None, images=_paced(opened))


def _endless(
    stack: ExitStack, container: InputContainer, spec: LiveSpec, name: str, failure: str, ends: bool = False
) -> Opened:
    """What goes on until it breaks off. `stack` closes the container, and is given what reads it."""
    track = picture_track(container)
    if track is None:
        raise SourceError(failure)
    if track.width * track.height > MOST_PIXELS:
        raise SourceError(
            f"{name} gives pictures of {track.width} x {track.height}; at most {MOST_PIXELS // 10**6} megapixels of a "
            "stream are read: ask it for smaller ones"
        )
    track.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    formats, damage = set(container.format.name.split(",")), Damage()
    fps = (spec.fps or 0.0) if formats & CLOCKLESS else _declared(track)
    waits = formats & PLAYLISTS or spec.complete or ends  # until it is asked for
    backlog = None if waits else Backlog(1 / fps if fps else PERIOD_S)
    live: Arrivals = Asked(container, known(track, name), backlog)
    if spec.ahead and not waits:
        stack.pop_all()  # the intake closes it, since its thread may be reading
        live = stack.enter_context(Intake(container, track, spec.timeout_s, backlog))
    decoder = Decoder(container, track, damage, live)
    pictures = _arriving(decoder, formats, name, failure, ends)
    first = next(pictures, None)  # many only say that they have a picture
    if first is None:
        raise SourceError(failure)
    return Opened(fps, None, True, _with(first, pictures), damage=damage)


def _with(first: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest


def _arriving(decoder: Decoder, formats: set[str], name: str, failure: str, ends: bool) -> Iterator[Picture]:
    """The pictures of a stream as they arrive, those included that are no news."""
    opened_s = time.perf_counter()
    clockless, paced = bool(formats & CLOCKLESS), bool(formats & PLAYLISTS)
    clock, pace, count = OwnClock(), Pace(), 0
    seen = _seen.setdefault(name, Seen()) if paced else Seen()
    seen.opened()
    for picture in decoder:
        arrived_s, stream_s = picture.arrived_s, None if clockless else picture.time_s
        again = paced and seen.again(stream_s, picture.image)
        if paced and not again:
            pace.wait(stream_s)
        if paced:
            arrived_s = time.perf_counter()
        jumped = clock.jumped(stream_s, arrived_s)  # it is to see every picture
        yield Picture(
            picture.image, arrived_s - opened_s, arrived_s, picture.breaks or jumped, picture.note, stream_s,
            "same" if again else picture.late, picture.passed,
        )  # fmt: skip
        count += 1
    if count == 0:
        raise SourceError(failure)
    if not ends:
        if count == 1 and "mjpeg" in formats:
            raise SourceError(one_picture(name))
        note_unusual(name, formats, count)
        raise stopped(name, count)


def _declared(track: VideoStream) -> float:
    """Frames a second; 0 if nothing says so. FFmpeg's guess before a picture was read is often twice as much."""
    rates = (track.average_rate, track.codec_context.framerate)
    return next((float(rate) for rate in rates if rate and 0 < rate < 1000), 0.0)


def _paced(opened: Opened) -> Iterator[Picture]:
    pace = Pace()
    for one in opened.images:
        picture = Picture(*one)
        pace.wait(picture.timestamp_s)
        now_s = time.perf_counter()
        yield picture._replace(read_s=now_s, stream_time_s=picture.timestamp_s)


def stopped(name: str, count: int) -> SourceError:
    """The error of a source that gives no more."""
    after = f"stopped after {number_of(count, 'frame')}"
    return SourceError(f"{name} {after}; check its cable, power or network and open it again")
