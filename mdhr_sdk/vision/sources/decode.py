"""From the packets of a picture track to pictures, past whatever is damaged. Needs PyAV."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple

import av
import numpy as np
from av.codec.codec import Capabilities
from av.codec.context import Flags
from av.container import InputContainer
from av.video.stream import VideoStream

from ...children import usable_cores
from .arrivals import NONE_PASSED, Arrivals, Came, Passed, Pending
from .containers.picture import restarts
from .look import Looks
from .pixels import Converter
from .soundness import Soundness
from .source import Damage, Image

MPEG2 = frozenset(("mpeg1video", "mpeg2video"))
STEPPED = frozenset(("matroska", "webm", "flv", "mxf"))  # all tracks are read: a loss shows between their packets
MOST_THREADS = 16  # of FFmpeg's frame threads
CORES = usable_cores()
# What FFmpeg chooses, and the same in a worker that keeps to one of the cores: where damage shows depends on it.
FRAME_THREADS = min(CORES + 1, MOST_THREADS) if CORES > 1 else 1
BLACK = np.uint8(0)
TRIES = 100  # reads in a row that give no packet before a damaged file counts as ended
SHOWN_S = 0.2  # a live picture is converted at least so often, also if a newer one has come meanwhile


class Decoded(NamedTuple):
    """A picture.

    Attributes:
        image: (H, W, 3) uint8 BGR, upright, with square pixels; black if a newer packet has come meanwhile.
        time_s: its presentation time as the file has it; None where the file has none.
        duration_s: how long it is shown; 0 where the file does not say.
        arrived_s: by `time.perf_counter`, when its packet had been read, or the one that brought it out.
        breaks, note: as in `Frame`.
        late: why it is no news, of a live stream: as `Came.late`, or 'newer' if a newer packet has come meanwhile.
        passed: pictures that were passed over before it.
    """

    image: Image
    time_s: float | None
    duration_s: float
    arrived_s: float
    breaks: bool
    note: str
    late: str = ""
    passed: Passed = NONE_PASSED


class Decoder:
    """The pictures of one track, in the order in which they are shown.

    Args:
        container: open for reading.
        track: one of its picture tracks.
        damage: counts the packets and pictures that were lost.
        live: the track's packets as they arrive, whose end is the end; then no picture waits for the next ones, as it
            does in frame threads. None for a file.
        file: the same file in bytes, where there is one: what a Matroska lost shows between its packets only.

    Attributes:
        end_s: in the file's time, where the last of the packets read so far ends, of all tracks if those are read.
        packets_read: so many of the track, those included that are only there for others to be decoded.
        gave_up: whether the file was left before its end, since nothing more of it could be read.
    """

    def __init__(
        self,
        container: InputContainer,
        track: VideoStream,
        damage: Damage,
        live: Arrivals | None = None,
        file: BinaryIO | None = None,
    ) -> None:
        self._container = container
        self._track = track
        self._converter = Converter()
        self._names = set(container.format.name.split(","))
        self._looks = Looks(track)
        self._soundness = Soundness(container, track, damage, live is not None, file)
        self._all_tracks = live is None and bool(self._names & STEPPED)
        self._pictured: tuple[bytes, int] | None = None  # size and colour samples of an MPEG-2
        self._sent: deque[int | None] = deque(maxlen=MOST_THREADS)  # stamps of the last packets that were decoded
        self.end_s = 0.0
        self.packets_read = 0
        self.gave_up = False
        self._delay: int | None = None  # of an AVI: the first picture comes out so many packets after it was read
        self._came = Came(time.perf_counter())  # of the last packet
        self._pending = Pending()
        self._live = live
        self._shown_s = 0.0  # when a picture was converted last
        self._shape: tuple[int, ...] = ()
        self._pictures_out = 0
        self._options = dict(track.codec_context.options)  # the opener's
        self._set_up()

    def _set_up(self) -> None:
        """Tell the decoder how to take damage and edges, and that no picture of a live stream is to wait."""
        codec = self._track.codec_context
        self._track.thread_type = "AUTO" if self._live is None else "SLICE"
        if self._live is None:
            codec.thread_count = FRAME_THREADS
        codec.flags |= Flags.unaligned  # else up to 31 columns that are cut off at the left are shown
        if codec.name in ("hevc", "mjpeg"):  # others tell of damage by themselves, or lose pictures
            codec.options = {**self._options, "err_detect": "explode"}
        elif codec.name == "libdav1d":
            codec.options = {**self._options, "max_frame_delay": "1"}  # so an error is the last packet's

    def __iter__(self) -> Iterator[Decoded]:
        for packet in self._packets():
            for frame in self._pictures_of(packet):
                self._pictures_out += 1
                yield self._shown(frame)
        self._soundness.end(self._pictures_out)

    def _packets(self) -> Iterator[av.Packet | None]:
        """The track's packets; None to bring out what the decoder still holds."""
        yield from self._stored() if self._live is None else self._arriving(self._live)
        yield None

    def _stored(self) -> Iterator[av.Packet]:
        """Those of a file, past what cannot be read."""
        tracks = () if self._all_tracks else (self._track,)
        failed = 0
        while failed < TRIES:
            try:
                for packet in self._container.demux(*tracks):
                    failed = 0
                    if packet.size:
                        self._place(packet)
                        if packet.stream_index == self._track.index:
                            self._came = Came(time.perf_counter())
                            yield packet
                return
            except av.error.EOFError:
                return
            except IndexError:  # a packet of a track that began on the way, which PyAV does not know
                failed += 1
            except av.error.FFmpegError:
                if failed == 0:
                    self._soundness.hurt(None)
                failed += 1
        self.gave_up = True

    def _arriving(self, live: Arrivals) -> Iterator[av.Packet]:
        """Those of a live stream. After packets that were passed over, decoding starts anew."""
        for packet, self._came, passed in live:
            if passed:
                self._pending.jumped(packet.pts, passed)
                self._track.codec_context.flush_buffers()
            self._pending.sent(packet.pts, self._came)
            self._place(packet)
            yield packet

    def _place(self, packet: av.Packet) -> None:
        """Note when a packet ends, and whether pictures were passed over before it."""
        if packet.pts is not None:
            self.end_s = max(self.end_s, float((packet.pts + (packet.duration or 0)) * (packet.time_base or 0)))
        self._soundness.placed(packet)

    def _pictures_of(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        self.packets_read += packet is not None
        if not self._soundness.accepts(packet):
            return []
        self._sent.append(None if packet is None else packet.pts)
        held = self._held_before(packet)
        try:
            return held + self._track.decode(packet)
        except av.error.EOFError:
            return held
        except av.error.FFmpegError:
            frames = held + self._again(packet)
        if not frames and (self._pictures_out or not restarts(self._container)):
            self._soundness.hurt(self._failed())  # not where a broadcast begins between two key frames
        return frames

    def _held_before(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        """The picture that MPEG-2 holds back, before its size changes: it would be forgotten."""
        if packet is None or not packet.is_keyframe or self._track.codec_context.name not in MPEG2:
            return []
        _, _, head = bytes(packet).partition(b"\0\0\1\xb3")
        extension = head.partition(b"\0\0\1\xb5")[2]
        now = head[:3], extension[1] & 6 if len(extension) > 1 else 0
        before, self._pictured = self._pictured, now if head else self._pictured
        if not head or before in (None, now):
            return []
        frames = self._track.decode(None)
        self._track.codec_context.flush_buffers()
        return frames

    def _failed(self) -> int | None:
        """The stamp from which on an error shows. It is of the oldest packet at work, of one in each frame thread."""
        codec = self._track.codec_context
        threads = codec.thread_count if codec.codec.capabilities & Capabilities.frame_threads else 1
        return min((stamp for stamp in list(self._sent)[-max(1, threads) :] if stamp is not None), default=None)

    def _again(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        """A damaged JPEG as far as it can be shown; such pictures do not depend on each other."""
        codec = self._track.codec_context
        if packet is None or codec.name != "mjpeg":
            return []
        lenient = av.VideoCodecContext.create(codec.name, "r")
        assert isinstance(lenient, av.VideoCodecContext)
        lenient.options = self._options
        if codec.extradata:
            lenient.extradata = codec.extradata
        self._soundness.spoilt = True
        try:
            return lenient.decode(packet)
        except av.error.FFmpegError:
            return []

    def _shown(self, frame: av.VideoFrame) -> Decoded:
        aspect, turn, changed = self._looks.of(frame)
        first = self._pictures_out == 1
        note, lost = self._soundness.of(frame)
        stamp = self._avi_stamp(frame) if "avi" in self._names else frame.pts
        base = self._track.time_base or Fraction(0)  # the last frames come out of the decoder without one
        came = self._pending.shown(frame.pts) or self._came
        passed, self._pending.passed = self._pending.passed, Counter()
        late = not first and not changed and self._overtaken()
        image = np.broadcast_to(BLACK, self._shape) if late else self._converter.bgr(frame, turn, aspect)
        self._shape = image.shape
        return Decoded(
            image,
            None if stamp is None else float(stamp * base),
            float((frame.duration or 0) * base),
            came.arrived_s,
            changed or (lost and not first),
            note,
            came.late or ("newer" if late else ""),
            passed,
        )

    def _overtaken(self) -> bool:
        """Whether a newer packet of a live stream has come, unless nothing was shown for a while."""
        now_s = time.perf_counter()
        if self._live is None or not self._live.overtaken or now_s - self._shown_s > SHOWN_S:
            self._shown_s = now_s
            return False
        return True

    def _avi_stamp(self, frame: av.VideoFrame) -> int | None:
        """An AVI numbers its packets as they are read; what FFmpeg makes of it for B frames is not their order."""
        if self._delay is None:
            self._delay = (frame.dts or 0) if self._track.codec_context.has_b_frames else 0
        return None if frame.dts is None else frame.dts - self._delay
