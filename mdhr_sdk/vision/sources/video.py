"""Video files through PyAV. Needs PyAV and OpenCV."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ...errors import SourceError, TruncatedSourceError, number_of
from .containers.edits import pauses_of, without
from .containers.joined import Window, is_broadcast, parts_of
from .containers.length import declared_frames, indexed_packets, missing_s
from .containers.picture import DEFAULT_FPS, NO_VIDEOS, known, picture_track, rate_of, restarts
from .content import goes_by_name, is_other, looks_like
from .decode import Decoded, Decoder
from .seeking import WORTH_S, KeyPicture, key_before
from .source import Damage, Opened, Picture

OPTIONS = {"protocol_whitelist": "file,crypto,data"}
JUMP_S = 10.0  # a step that no broadcast makes unless its clock was set anew, as FFmpeg has it
TOLERATED_PERIODS, TOLERATED_S = 5, 0.2  # so little may be missing at the end, the longer of the two
TIMED, FASTER = 10, 4  # frames of which the times are judged, and how much faster than the file's rate is told
RESTART_PERIODS = 5  # a step back of so many is a clock that starts again; a shorter one is an untidy stamp

log = logging.getLogger("mdhr_sdk")


@contextmanager
def open_video(path: Path, start_s: float = 0.0) -> Iterator[Opened]:
    """Open a video file; see `Source` for what goes wrong.

    Args:
        start_s: pictures before this time are not needed. They are left out where that is safe, and quicker.
    """
    if is_other(path):  # in which FFmpeg may find a picture
        raise SourceError(_failure(path))
    with ExitStack() as stack:
        with _failure_told(path):
            parts = parts_of(path)
        if len(parts) > 1:  # as a whole FFmpeg may refuse them
            yield _joined(path, parts, stack)
            return
        container = stack.enter_context(_container(path, stack))
        file = stack.enter_context(path.open("rb"))
        track = picture_track(container)
        pauses = [] if track is None else pauses_of(path, track.id)
        key = _key_before(path, start_s) if start_s > WORTH_S and not pauses else None
        if key is not None:
            container.seek(key.pts, stream=track)
        opened = finite(container, str(path), Damage(), _failure(path), key, file)
        if opened is None:  # the container led elsewhere
            container = stack.enter_context(_container(path, stack))
            opened = finite(container, str(path), Damage(), _failure(path), file=file)
        assert opened is not None
        yield without(opened, pauses, _start_s(container, track)) if track and pauses else opened


def _joined(path: Path, parts: Sequence[tuple[int, int]], stack: ExitStack) -> Opened:
    """Recordings that follow on each other in one file; those that cannot be opened are counted as damage."""
    damage = Damage()

    def opened() -> Generator[Opened, None, None]:
        lost: SourceError | None = None
        shown = False
        for number, (start, end) in enumerate(parts):
            with ExitStack() as part_stack:  # closed before the next one: there may be thousands
                window = Window(part_stack.enter_context(path.open("rb")), start, end)
                try:
                    container = av.open(window, "r", options=OPTIONS, metadata_errors="ignore")
                    part = finite(part_stack.enter_context(container), str(path), damage, _failure(path))
                except (av.error.FFmpegError, ValueError):
                    lost = SourceError(_failure(path))
                except SourceError as error:
                    lost = error
                else:
                    assert part is not None
                    shown = True
                    yield part if number == len(parts) - 1 else part._replace(images=_uncut(part))
                    continue
            damage.count += 1
        if lost is not None and not shown:
            raise lost

    each = opened()
    stack.callback(each.close)
    first = next(each)
    pictures = _one_after_the_other(itertools.chain([first], each), str(path))
    return Opened(first.fps, None, False, pictures, damage=damage)


def _uncut(part: Opened) -> Iterator[Picture]:
    """The pictures of a part; what it lacks at its end is damage, and the next part follows."""
    try:
        yield from map(Picture._make, part.images)
    except SourceError as error:
        assert part.damage is not None
        part.damage.count += error.declared - error.decoded if isinstance(error, TruncatedSourceError) else 1


def _one_after_the_other(parts: Iterator[Opened], name: str) -> Iterator[Picture]:
    begins_s = now_s = 0.0
    count = 0
    for number, part in enumerate(parts):
        anew, before = number > 0, count
        try:
            for picture in map(Picture._make, part.images):
                now_s = begins_s + picture.timestamp_s
                yield picture._replace(timestamp_s=now_s, breaks=picture.breaks or anew)
                anew = False
                count += 1
        except TruncatedSourceError as error:  # of the last part
            raise _cut_off(name, before + error.decoded, before + error.declared) from None
        begins_s = now_s + 1 / (part.fps or DEFAULT_FPS)


def _cut_off(name: str, count: int, declared: int) -> TruncatedSourceError:
    return TruncatedSourceError(
        f"{name} ended after {count} of the {number_of(declared, 'frame')} that it declares; the file is cut off "
        "or damaged: copy it again or re-encode it",
        count,
        declared,
    )


def _container(path: Path, stack: ExitStack) -> InputContainer:
    with _failure_told(path):
        return open_file(path, stack)


@contextmanager
def _failure_told(path: Path) -> Iterator[None]:
    try:
        yield
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
    given: str | Window = f"file:{name}" if goes_by_name(path) else _nameless(path, stack)
    kind = "mpegts" if is_broadcast(path) else None  # FFmpeg does not know a very short one
    return av.open(given, "r", format=kind, options=OPTIONS, metadata_errors="ignore")


def _nameless(path: Path, stack: ExitStack) -> Window:
    """A file without the name that a file object has."""
    return Window(stack.enter_context(path.open("rb")), 0, path.stat().st_size)


def _failure(path: Path) -> str:
    if other := looks_like(path):
        return f"expected a picture or video in {path}; it {other}; give another file"
    return f"cannot decode {path} as a video: it is damaged, cut off or of another format; re-encode it as H.264 mp4"


def finite(
    container: InputContainer,
    name: str,
    damage: Damage,
    failure: str,
    key: KeyPicture | None = None,
    file: BinaryIO | None = None,
) -> Opened | None:
    """What has an end: a file, here or on a web server.

    Decodes a picture at once, or raises SourceError: many files only say they have one.

    Args:
        key: the picture that the container was set to; None where it is at its beginning.
        file: as of `Decoder`.

    Returns:
        None where the first picture is not that of `key`.
    """
    track = picture_track(container)
    if container.format.name in NO_VIDEOS:
        raise SourceError(failure)
    if track is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise SourceError(f"expected a video in {name}; it holds {kinds} and no moving picture; give another file")
    decoder = Decoder(container, known(track, name), damage, file=file)
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
    declared = declared_frames(container, track, clock.start_s, fps)
    pictures: Iterator[Decoded] = itertools.chain([first], decoded)
    if not restarts(container):
        pictures = _tidied(pictures, clock.period_s)
    before = 0 if key is None else key.index
    timed = _timed(pictures, clock, decoder, container, track, name, before, file)
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
    file: BinaryIO | None,
) -> Iterator[Picture]:
    count, end_s = before, 0.0
    for picture in pictures:
        timestamp_s, restarted = clock.tell(picture.time_s)
        end_s = max(end_s, timestamp_s + max(clock.period_s, picture.duration_s))
        yield Picture(picture.image, timestamp_s, picture.arrived_s, picture.breaks or restarted, picture.note)
        count += 1
    if count - before >= TIMED and rate_of(track) and FASTER * end_s < (count - 1) * clock.period_s:
        log.warning(
            "%s: its %s have times up to %.2f s, and it declares %.4g a second: the times are wrong, and so are all "
            "rates and events; write the video anew", name, number_of(count, "frame"), end_s, 1 / clock.period_s,
        )  # fmt: skip
    lacks_s = missing_s(
        container, track, file, decoder.packets_read, clock.period_s, clock.start_s, end_s, decoder.end_s
    )
    if lacks_s > max(TOLERATED_PERIODS * clock.period_s, TOLERATED_S):
        whole = indexed_packets(container, track)[1]
        declared = max(whole, count + max(1, round(lacks_s / clock.period_s)))
        raise _cut_off(name, count, declared)
    if decoder.gave_up:
        raise SourceError(
            f"{name} cannot be read beyond {number_of(count, 'frame')} and {end_s:.2f} s: what follows is damaged; "
            "copy it again or re-encode it"
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
