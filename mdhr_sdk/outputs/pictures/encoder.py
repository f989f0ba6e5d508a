"""Encodes a video file frame by frame, each with its own time."""

from __future__ import annotations

import math
import os
import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...ending import at_work
from ...errors import OutputError, check_imaging

if TYPE_CHECKING:
    from av.packet import Packet

KEY_S = 1.0  # from one key frame to the next; a file that is cut off loses about as much
STEPS = 101  # last steps whose median is how long a frame is shown
USUAL_FPS = 25.0
BT601, VIDEO_RANGE = 6, 1  # FFmpeg's numbers for what OpenCV's conversion gives: BT.601, from 16 to 235


class Codec(NamedTuple):
    """An encoder of FFmpeg, its options, and the suffixes of files that hold what it makes."""

    encoder: str
    options: dict[str, str]
    suffixes: tuple[str, ...]
    least_px: int = 2  # shortest side that it takes
    most_px: int = 16_384  # longest side


# Fast settings: an overlay must not slow down what it shows. No B-frames: frames are shown in the order they come.
# Of x264 one quantiser for all frames: a constant rate factor looks at each frame twice, which costs a fifth more.
CODECS = {
    "h264": Codec(
        "libx264",
        {"preset": "ultrafast", "qp": "22", "bf": "0", "forced-idr": "1"},
        (".mp4", ".m4v", ".mov", ".mkv"),
    ),
    "vp9": Codec(
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "32", "b": "0", "lag-in-frames": "0"},
        (".mp4", ".mkv", ".webm"),
    ),
    "av1": Codec(
        "libsvtav1",
        {"preset": "10", "crf": "32", "svtav1-params": "rtc=1:pred-struct=1"},
        (".mp4", ".mkv", ".webm"),
        64,  # it hangs with less
        8_192,
    ),
}
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# Fragments: a file that is cut off anywhere, also while it is written, can be read up to there.
FRAGMENTED = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "flush_packets": "1"}
SHORT = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
AT_ONCE = {"libx264": {"tune": "zerolatency"}}  # what an encoder takes to keep no picture back
CLUSTERED = {"cluster_time_limit": str(round(1000 * KEY_S)), "flush_packets": "1"}


def check_codec(path: Path, codec: str) -> None:
    """Check that `codec` is known, fits the suffix of `path` and can be encoded here; else OutputError."""
    check_imaging()
    import av

    if codec not in CODECS:
        raise OutputError(f"an overlay's codec is one of {', '.join(CODECS)}; got {codec!r}")
    suffixes = CODECS[codec].suffixes
    if path.suffix.lower() not in suffixes:
        why = "; avi keeps no frame times" if path.suffix.lower() == ".avi" else ""
        raise OutputError(
            f"an overlay is a still (.png, .jpg, .jpeg) or {codec} video ({', '.join(suffixes)}), but '{path.name}' is "
            f"neither{why}; change the suffix or the codec"
        )
    if CODECS[codec].encoder not in av.codecs_available:
        raise OutputError(
            f"FFmpeg of the package 'av' has no {CODECS[codec].encoder}, which {codec} needs; take av's own wheels, "
            "or another codec"
        )


def encoded_size(width: int, height: int, codec: str) -> tuple[int, int]:
    """The even size at which a codec stores pictures of `width` x `height`; smaller only for huge ones."""
    shrink = min(1.0, CODECS[codec].most_px / max(width, height))
    even = (2 * int(side * shrink / 2) for side in (width, height))
    wide, high = (max(CODECS[codec].least_px, side) for side in even)
    return wide, high


class Encoder:
    """Writes frames of one size to a file, in 4:2:0 and 8 bits.

    A frame is shown until the next one's time, the last one for a usual step. A time that equals the one before is
    moved behind it by the smallest step of the file. An earlier time means that the clock started again: it and all
    that follow are shifted, so that it comes a usual step after the frame before.

    Args:
        path: a new file with one of the suffixes of `codec`.
        size: width and height in pixels, both even.
        fps: usual frames per second; 0 if unknown.
        codec: a key of `CODECS`.
        fragment_s: of an mp4: what a file that is cut off lacks at its end, and two pictures more. With less than a
            second the first picture must have the time 0.
        about: what the file says of itself, as FFmpeg calls it: `creation_time`, `comment`.

    Raises:
        OutputError: here or later, the encoder refuses.
        OSError: here or later, the file cannot be written.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, codec: str, *, fragment_s: float = KEY_S,
        about: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        import av

        self._what = f"'{path.name}' as {codec} video of {size[0]}x{size[1]}"
        self._fps = fps if fps > 0 else USUAL_FPS
        kind = FORMATS[path.suffix.lower()]
        self._rate = 90_000 if kind in ("mp4", "mov") else 1000  # ticks a second; Matroska's are fixed
        self._last = -1  # in ticks
        self._last_s = -math.inf
        self._shift = 0  # in ticks, from the source's clock to the file's
        self._key = -self._rate
        self._steps: deque[int] = deque(maxlen=STEPS)
        self._held: Packet | None = None
        self._out = path.open("xb")
        try:
            with self._refusals(), _quiet_svt():
                options = _options(kind, fragment_s)
                self._file = av.open(self._out, "w", format=kind, options=options)
                self._file.metadata.update(about or {})
                self._stream = self._added(size, codec, fragment_s < KEY_S)
                self._stream.codec_context.open(strict=False)
        except BaseException:
            self._out.close()
            raise

    def _added(self, size: tuple[int, int], codec: str, at_once: bool) -> Any:
        encoder, options, *_ = CODECS[codec]
        options = {**options, **(AT_ONCE.get(encoder, {}) if at_once else {})}
        hint = Fraction(min(240.0, max(1.0, self._fps))).limit_denominator(1001)  # times are the frames' own
        stream: Any = self._file.add_stream(encoder, hint, options)
        context = stream.codec_context
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = context.time_base = Fraction(1, self._rate)
        context.gop_size = max(1, min(250, round(self._fps * KEY_S)))
        # One of its own lets the caller go on; where reading and scoring fill all cores, it costs more than it gives.
        context.thread_count = 2 if (os.cpu_count() or 1) > 2 else 1
        context.colorspace = context.color_primaries = context.color_trc = BT601
        context.color_range = VIDEO_RANGE
        return stream

    @at_work()
    def write(self, image_bgr: NDArray[np.uint8], time_s: float, anew: bool = False) -> None:
        """Add an image (height, width, 3) at a time in seconds; `anew` says that the clock starts again with it."""
        import av
        import cv2

        planes = np.asarray(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame: Any = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._ticks(time_s, anew), Fraction(1, self._rate)
        if frame.pts >= self._key + KEY_S * self._rate:
            frame.pict_type, self._key = av.video.frame.PictureType.I, frame.pts
        self._encode(frame)
        self._out.flush()  # so that the file of a killed process holds it

    def settle(self) -> None:
        """Put what was written onto the disk itself, for a loss of power."""
        os.fsync(self._out.fileno())

    def close(self) -> None:
        """Write the remaining packets and finish the file."""
        with self._out:
            try:
                self._encode(None)
                with self._refusals():
                    self._mux(None)
            finally:
                with self._refusals():
                    self._file.close()

    def _encode(self, frame: Any) -> None:
        with self._refusals():
            for packet in self._stream.encode(frame):
                self._mux(packet)

    def _mux(self, packet: Packet | None) -> None:
        """Write the previous packet: its duration is known now."""
        before, self._held = self._held, packet
        if before is not None:
            before.duration = self._step if packet is None else (packet.pts or 0) - (before.pts or 0)
            self._file.mux(before)

    def _ticks(self, time_s: float, anew: bool) -> int:
        """A frame's time in the file, later than that of the frame before."""
        ticks = round(time_s * self._rate) + self._shift
        if self._last < 0:
            self._shift = -min(0, ticks)
            ticks = max(0, ticks)
        elif anew or time_s < self._last_s:
            self._shift += self._last + self._step - ticks
            ticks = self._last + self._step
        elif time_s > self._last_s:
            self._steps.append(max(1, ticks - self._last))
        self._last, self._last_s = max(ticks, self._last + 1), time_s
        return self._last

    @property
    def _step(self) -> int:
        """Ticks from one frame to the next, as a rule."""
        return statistics.median_low(self._steps) if self._steps else max(1, round(self._rate / self._fps))

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn FFmpeg's errors into one line; errors of the system stay as they are."""
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(f"FFmpeg cannot write {self._what} ({error.strerror}); try another codec") from error


def _options(kind: str, fragment_s: float) -> dict[str, str]:
    """Those of FFmpeg's writer of such files."""
    if kind not in ("mp4", "mov"):
        return CLUSTERED
    return FRAGMENTED if fragment_s >= KEY_S else {**SHORT, "frag_duration": str(round(1e6 * fragment_s))}


@contextmanager
def _quiet_svt() -> Iterator[None]:
    """SVT-AV1 prints its settings as it opens, unless the environment says errors only."""
    if "SVT_LOG" in os.environ:
        yield
        return
    os.environ["SVT_LOG"] = "1"
    try:
        yield
    finally:
        os.environ.pop("SVT_LOG", None)
