"""A source's pictures as a row of short videos, each of which plays by itself."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...atomic import incomplete, settle, told
from ...errors import MDHRError, number_of
from ...results import FrameResult
from ..jsonl import utc_text
from ..pictures.encoder import Encoder, check_codec, encoded_size
from ..pictures.overlay_video import fitted
from .append import SETTLE_S, free_name, stamp
from .queued import LostError

if TYPE_CHECKING:
    from typing_extensions import Self

GAP_S = 5.0  # after so long without a picture a new segment begins
FRAGMENT_S = 0.2  # what a killed run takes of a segment, and two pictures more
OPEN, SUFFIX = ".open", ".mp4"
SEGMENT_S = 600.0
Picture = Literal["picture", "overlay"]
log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class Keep:
    """Which recordings of a source stay; the oldest go first. None for no limit.

    Attributes:
        age_s: seconds since a segment was closed.
        size_bytes: of all segments together.
    """

    age_s: float | None = None
    size_bytes: int | None = None


class SegmentSink:
    """Records the pictures of one source: `NAME_20261130T152400Z.mp4`, by the UTC time of its first picture.

    While it is written a segment is called `.open.mp4`. It is a fragmented mp4: if the process is killed it plays up to
    its last 0.2 seconds and two pictures; about once a second it is put onto the disk itself. Its times begin at 0; its
    comment says when the first picture was captured, and which time that has in the table.
    A new segment begins after `segment_s`, after a gap of five seconds, when the picture's size changes, and after an
    error. Frames without a new picture (status 'stale') are not recorded.

    Attributes:
        on: set it to False to close the segment and record no more, and to True to go on; from any thread.
        segments: how many were closed.

    Args:
        base: folder of the files, and what their names begin with.
        segment_s: seconds of a segment.
        keep: which of the source's segments stay; looked at whenever one is closed.
        what: 'picture' as it came, or 'overlay' with the scores drawn on it.

    Raises:
        OutputError: h264 cannot be encoded here.
        LostError: on writing and leaving, the file cannot be written; its last pictures may be lost.
    """

    def __init__(
        self, base: Path, segment_s: float = SEGMENT_S, keep: Keep | None = None, what: Picture = "picture"
    ) -> None:
        self.on = True
        self.segments = 0
        self._base = base
        self._segment_s = segment_s
        self._keep = keep or Keep()
        self._overlay = what == "overlay"
        self._video: Encoder | None = None
        self._path = base
        self._size = (0, 0)
        self._shape: tuple[int, ...] = ()
        self._began_s = self._last_s = 0.0
        self._settled_s = 0.0  # by time.monotonic
        self._closed_s: dict[str, float] = {}  # name of a segment -> when it was closed, by time.monotonic
        self._taken = 0  # pictures of the open segment

    def __enter__(self) -> Self:
        check_codec(self._base.with_name(self._base.name + SUFFIX), "h264")
        with told(self._base):
            self._base.absolute().parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, result: FrameResult) -> None:
        """Add one picture."""
        if not self.on:
            self._close()
            return
        if result.image is None or result.stale:
            return
        image = result.annotate() if self._overlay else result.image
        if self._video is not None and self._over(result.timestamp_s, image):
            self._close()
        try:
            with told(self._path):
                if self._video is None:
                    self._video = self._opened(result, image)
                self._video.write(fitted(image, self._size), result.timestamp_s - self._began_s)
                self._settle(self._video)
        except MDHRError as error:
            raise LostError(str(error), self._broken_off()) from error
        self._last_s = result.timestamp_s
        self._taken += 1

    def __exit__(self, *_: object) -> None:
        self._close()

    def _settle(self, video: Encoder) -> None:
        if (now := time.monotonic()) >= self._settled_s + SETTLE_S:
            self._settled_s = now
            video.settle()

    def _over(self, time_s: float, image: NDArray[np.uint8]) -> bool:
        apart = not 0 <= time_s - self._last_s <= GAP_S
        return apart or time_s - self._began_s >= self._segment_s or image.shape != self._shape

    def _opened(self, result: FrameResult, image: NDArray[np.uint8]) -> Encoder:
        at = result.captured_at or datetime.now(timezone.utc)
        height, width = image.shape[:2]
        self._base.absolute().parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        self._path = free_name(self._base.parent, f"{self._base.name}_{stamp(at)}", OPEN + SUFFIX)
        self._size = encoded_size(width, height, "h264")
        self._shape, self._began_s, self._taken = image.shape, result.timestamp_s, 0
        self._settled_s = time.monotonic()
        captured = utc_text(at) or ""
        about = {
            "creation_time": captured, "comment": f"captured_at {captured}, timestamp_s {result.timestamp_s:.6f}",
        }  # fmt: skip
        return Encoder(self._path, self._size, result.fps, "h264", fragment_s=FRAGMENT_S, about=about)

    def _close(self) -> None:
        """Finish the segment, give it its name, and remove those that are too old or too many."""
        video, self._video = self._video, None
        if video is None:
            return
        try:
            with told(self._path):
                video.close()
                settle(self._path)
                closed = self._path.rename(_closed_name(self._path))
        except MDHRError as error:
            raise LostError(str(error), self._broken_off()) from error
        self.segments += 1
        self._closed_s[closed.name] = time.monotonic()
        tidy(self._base, self._keep, self._closed_s)

    def _broken_off(self) -> int:
        """Keep what an error left of the segment; the next picture begins a new one. Returns how many are lost."""
        video, self._video = self._video, None
        taken, self._taken = self._taken, 0
        if video is not None:
            with suppress(MDHRError, OSError):
                video.close()
        left = 0
        with suppress(MDHRError, OSError):
            self._path.open("rb").close()  # what cannot be opened now may hold pictures: the next start looks at it
            if left := pictures(self._path):
                rescue(self._path)
            else:  # on a full disk each try would leave a file without a picture
                self._path.unlink()
        return max(0, taken - left)


def _closed_name(path: Path) -> Path:
    """'door_20261130T152400Z.open.mp4' -> 'door_20261130T152400Z.mp4', or the next that is free."""
    return free_name(path.parent, path.name.removesuffix(OPEN + SUFFIX), SUFFIX)


def rescue(path: Path) -> Path | None:
    """Name an open segment that nobody writes any more as incomplete; an empty one is removed, and None returned."""
    if not path.is_file():
        return None
    if not path.stat().st_size:
        path.unlink()
        return None
    end = incomplete(path.with_name(path.name.removesuffix(OPEN + SUFFIX) + SUFFIX))
    return path.rename(free_name(path.parent, end.name.removesuffix(SUFFIX), SUFFIX))


def pictures(path: Path) -> int:
    """How many pictures a recording holds, which may be cut off anywhere."""
    import av

    count = 0
    try:
        with av.open(str(path)) as file:
            for packet in file.demux(video=0):
                count += packet.size > 0
    except (av.error.FFmpegError, IndexError):
        pass
    return count


def open_segments(folder: Path) -> list[Path]:
    """Segments in a folder that were not closed, in the order of their names."""
    return sorted(path for path in folder.glob(f"*{OPEN}{SUFFIX}") if path.is_file() and not path.is_symlink())


def tidy(base: Path, keep: Keep, closed_s: Mapping[str, float] | None = None) -> None:
    """Remove the oldest segments of a source until the others are within the limits; says how many.

    Args:
        closed_s: name -> when this run closed it, by `time.monotonic`. These are the newest, whatever their names say
            and the clock does: a machine without a clock of its own begins in 1970 until the network tells it the time.
    """
    own, now = closed_s or {}, time.time()
    named = re.compile(rf"{re.escape(base.name)}_\d{{8}}T\d{{6}}Z(-\d+)?(\.incomplete(-\d+)?)?{re.escape(SUFFIX)}")
    with told(base):
        found = [path for path in base.parent.iterdir() if named.fullmatch(path.name)]
        paths = sorted(found, key=lambda path: (own.get(path.name, -math.inf), path.name))
        kept = [(path, path.lstat()) for path in paths if path.is_file() and not path.is_symlink()]
    size, gone = sum(state.st_size for _, state in kept), 0
    for path, state in kept:
        age_s = time.monotonic() - own[path.name] if path.name in own else now - state.st_mtime
        old = keep.age_s is not None and age_s > keep.age_s
        if not old and (keep.size_bytes is None or size <= keep.size_bytes):
            continue
        with told(path):
            path.unlink()
        size -= state.st_size
        gone += 1
    if gone:
        log.info("%s: removed %s, as --keep says", base.name, number_of(gone, "old recording"))
