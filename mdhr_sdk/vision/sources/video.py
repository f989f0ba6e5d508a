"""Video files through PyAV. Needs PyAV and OpenCV."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ...errors import SourceError, TruncatedSourceError, number_of
from .content import looks_like
from .decode import DEFAULT_FPS, NO_VIDEOS, Decoded, Decoder, known, picture_track, rate_of, restarts
from .seeking import WORTH_S, KeyPicture, key_before
from .source import Damage, Opened, Picture

JUMP_S = 10.0  # a step that no broadcast makes unless its clock was set anew, as FFmpeg has it
TOLERATED_PERIODS, TOLERATED_S = 5, 0.2  # so little may be missing at the end, the longer of the two
RESTART_PERIODS = 5  # a step back of so many is a clock that starts again; a shorter one is an untidy stamp


@contextmanager
def open_video(path: Path, start_s: float = 0.0) -> Iterator[Opened]:
    """Open a video file; see `Source` for what goes wrong.

    Args:
        start_s: pictures before this time are not needed. They are left out where that is safe, and quicker.
    """
    with ExitStack() as stack:
        container = stack.enter_context(_container(path, stack))
        key = _key_before(path, start_s) if start_s > WORTH_S else None
        if key is not None:
            container.seek(key.pts, stream=picture_track(container))
        opened = finite(container, str(path), Damage(), _failure(path), key)
        if opened is None:  # the container led elsewhere
            opened = finite(stack.enter_context(_container(path, stack)), str(path), Damage(), _failure(path))
        assert opened is not None
        yield opened


def _container(path: Path, stack: ExitStack) -> InputContainer:
    try:
        return open_file(path, stack)
    except OSError as error:
        raise SourceError(
            f"cannot read {path}: {error.strerror or error}; check the file and its permissions"
        ) from None
    except (av.error.FFmpegError, ValueError):
        raise SourceError(_failure(path)) from None


def _key_before(path: Path, start_s: float) -> KeyPicture | None:
    """Where to begin for the pictures from `start_s` seconds after the file's start on; None for its beginning."""
    with ExitStack() as stack:
        container = stack.enter_context(_container(path, stack))
        track = picture_track(container)
        if track is None or track.codec_context is None or container.start_time is None:
            return None
        return key_before(container, track, _start_s(container, track) + start_s)


def open_file(path: Path, stack: ExitStack) -> InputContainer:
    """Open a file, whatever its name: FFmpeg takes neither a colon for a protocol nor a % for a number.

    A playlist can reach other files, but no network.
    """
    name = os.path.abspath(path)  # noqa: PTH100 (no link is to be followed)
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return av.open(stack.enter_context(path.open("rb")), "r")
    options = {"protocol_whitelist": "file,crypto,data"}
    return av.open(f"file:{name}", "r", options=options, metadata_errors="ignore")


def _failure(path: Path) -> str:
    if other := looks_like(path):
        return f"expected a picture or video in {path}; it {other}; give another file"
    return f"cannot decode {path} as a video: it is damaged, cut off or of another format; re-encode it as H.264 mp4"


def finite(
    container: InputContainer, name: str, damage: Damage, failure: str, key: KeyPicture | None = None
) -> Opened | None:
    """What has an end: a file, here or on a web server.

    Decodes a picture at once, or raises SourceError: many files only say they have one.

    Args:
        key: the picture that the container was set to; None where it is at its beginning.

    Returns:
        None where the first picture is not that of `key`.
    """
    track = picture_track(container)
    if container.format.name in NO_VIDEOS:
        raise SourceError(failure)
    if track is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise SourceError(f"expected a video in {name}; it holds {kinds} and no moving picture; give another file")
    decoder = Decoder(container, known(track, name), damage)
    decoded = iter(decoder)
    first = next(decoded, None)
    if key is not None:
        decoder.packets_read += key.packets
        if first is None or first.time_s != float(key.pts * (track.time_base or 0)):
            return None
    if first is None:
        raise SourceError(failure)
    fps = rate_of(track)
    start_s = (first.time_s or 0.0) if container.start_time is None else _start_s(container, track)
    clock = _Clock(start_s, fps, restarts(container))
    counts = [track.frames, _indexed(container, track)[1] or round(_promised_s(container, track, clock.start_s) * fps)]
    declared = min((count for count in counts if count > 0), default=None)  # an edit list may play a part only
    pictures: Iterator[Decoded] = itertools.chain([first], decoded)
    if not restarts(container):
        pictures = _tidied(pictures, clock.period_s)
    before = 0 if key is None else key.index
    timed = _timed(pictures, clock, decoder, container, track, name, before)
    return Opened(fps, declared, False, timed, damage=damage, first_index=before)


def _tidied(pictures: Iterator[Decoded], period_s: float) -> Iterator[Decoded]:
    """Without a stamp that leaps ahead of the one before and the one after."""
    before_s: float | None = None
    for picture, after in itertools.pairwise(itertools.chain(pictures, [None])):
        assert picture is not None
        now_s, after_s = picture.time_s, None if after is None else after.time_s
        if before_s is not None and now_s is not None and after_s is not None:
            wild = before_s <= after_s < now_s - RESTART_PERIODS * period_s
            picture = picture._replace(time_s=None) if wild else picture
        before_s = now_s if picture.time_s is not None else before_s
        yield picture


def _timed(
    pictures: Iterator[Decoded],
    clock: _Clock,
    decoder: Decoder,
    container: InputContainer,
    track: VideoStream,
    name: str,
    before: int,
) -> Iterator[Picture]:
    count, end_s = before, 0.0
    for picture in pictures:
        timestamp_s, restarted = clock.tell(picture.time_s)
        end_s = max(end_s, timestamp_s + max(clock.period_s, picture.duration_s))
        yield Picture(picture.image, timestamp_s, picture.arrived_s, picture.breaks or restarted, picture.note)
        count += 1
    missing_s = _promised_s(container, track, clock.start_s) - end_s
    indexed, whole = _indexed(container, track)
    if indexed:
        missing_s = (indexed - decoder.packets_read) * clock.period_s
    elif _names(container) & {"flv", "mxf"}:  # which declare one length for all their tracks
        missing_s = (container.duration or 0) / av.time_base - decoder.end_s
    if missing_s > max(TOLERATED_PERIODS * clock.period_s, TOLERATED_S):
        declared = max(whole, count + max(1, round(missing_s / clock.period_s)))
        raise TruncatedSourceError(
            f"{name} ended after {count} of the {number_of(declared, 'frame')} that it declares; the file is cut off "
            "or damaged: copy it again or re-encode it",
            count,
            declared,
        )


class _Clock:
    """Times of pictures from the stamps of a file, which may be missing, repeated, or start again."""

    def __init__(self, start_s: float, fps: float, restarts: bool) -> None:
        self.start_s = start_s
        self.period_s = 1 / (fps or DEFAULT_FPS)
        self._restarts = restarts
        self._shift_s = -start_s
        self._last_s: float | None = None
        self._stamped = False  # a picture had a stamp

    def tell(self, stamp_s: float | None) -> tuple[float, bool]:
        """Seconds since the start, never less than those before, and whether the clock started again."""
        last_s = self._last_s
        if last_s is None:
            now_s, again = max(0.0, (stamp_s or 0.0) + self._shift_s) if stamp_s is not None else 0.0, False
        elif stamp_s is None:
            now_s, again = last_s + self.period_s, False
        else:
            if not self._stamped:  # the ones before had none
                self._shift_s = last_s + self.period_s - stamp_s
            now_s = stamp_s + self._shift_s
            step_s = now_s - last_s
            again = step_s < -RESTART_PERIODS * self.period_s or (self._restarts and step_s > JUMP_S)
            if again:
                self._shift_s += self.period_s - step_s
                now_s = last_s + self.period_s
            now_s = max(now_s, last_s)
        self._last_s = now_s
        self._stamped |= stamp_s is not None
        return now_s, again


def _start_s(container: InputContainer, track: VideoStream) -> float:
    """The time of the file at which a player begins: that of its earliest track, sound or picture."""
    start_s = (container.start_time or 0) / av.time_base
    if start_s >= 0:
        return start_s
    if track.start_time is None:
        return start_s
    return min(0.0, float(track.start_time * (track.time_base or 0)))  # sound may begin before zero


def _names(container: InputContainer) -> set[str]:
    return set(container.format.name.split(","))


def _indexed(container: InputContainer, track: VideoStream) -> tuple[int, int]:
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
