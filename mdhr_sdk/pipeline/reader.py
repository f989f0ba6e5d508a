"""Reads one source in a thread: a file waits until its frames are used, a live source shows its newest frame."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import MDHRError, SourceError
from ..vision import Frame, Source, SourceInfo
from .clock import StageClock
from .crops import CropFinder, Found
from .modes import Policy
from .scoring import Crop

PAUSE_S = 1e-4  # between frames that are dropped
FRAMES_AHEAD = 16  # a clip's length: its scores come all at once
LIVE = ("camera", "stream")  # kinds that count as live until they are open

OpenFinder = Callable[[Source], tuple[CropFinder, Callable[[], None]]]

log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class SourceStatus:
    """How far a source is read.

    Attributes:
        captured: frames that were read. At the end `scored + dropped`; before that, some still wait.
        scored: frames whose result was given.
        dropped: frames that gave no result: those of a live source that came too fast, and those that still waited
            when a run was left.
        ended: it came to its end or broke off; False if the run was left before.
        error: why it broke off; None if it did not.
    """

    captured: int = 0
    scored: int = 0
    dropped: int = 0
    ended: bool = False
    error: BaseException | None = None


class Reader:
    """Reads one source in a thread of its own.

    With 'complete' it also finds the faces of a file. A video file is read some frames ahead; any other file is asked
    for its next frame once the last one was used, whose memory it may overwrite. A live source is read without a pause,
    so that each frame's arrival is known: with 'newest' only the newest frame is kept, with 'complete' as many as fit
    into `bytes_ahead`.

    Args:
        check, open_finder: as of `Readers`.
        policy: None for 'newest' if the source is live, else 'complete'.
        shown: shared by all readers; notified when a frame is ready or a source has ended.
        used: of the same lock; notified when frames were taken or used.
        bytes_ahead: most bytes of pictures that wait.
    """

    def __init__(
        self,
        source: Source,
        check: Callable[[SourceInfo], None],
        open_finder: OpenFinder,
        clock: StageClock,
        policy: Policy | None,
        shown: threading.Condition,
        used: threading.Condition,
        bytes_ahead: int,
    ) -> None:
        self.source = source
        self.live = source.kind in LIVE  # then it waits for no other source, and none for it
        self.error: BaseException | None = None
        self.opened = self.ended = self.stopped = False
        self._check = check
        self._open_finder = open_finder
        self._finder: CropFinder | None = None
        self._give_back: Callable[[], None] | None = None
        self._clock = clock
        self._policy = policy
        self._shown = shown
        self._used = used
        self._bytes_ahead = bytes_ahead
        self._newest = self._finds = self._told = False
        self._ready: deque[Frame | Found] = deque()
        self._room = 1  # frames that may be ready or in use
        self._in_use = 0
        self._captured = self._taken = self._scored = self._dropped = 0

    def run(self) -> None:
        """Read the source to its end, or until `stopped`."""
        try:
            with self.source as opened:
                self._check(opened.info)
                with self._shown:
                    self.live = opened.info.live
                    self._newest = self._policy == "newest" or (self._policy is None and self.live)
                    self._finds = not self._newest and not self.live
                    self.opened = True
                self._read(opened)
        except MDHRError as error:
            self.error = error
        except Exception as error:  # for example of the caller's own iterator
            self.error = SourceError(f"{self.source.name} cannot be read on: {type(error).__name__}: {error}")
            self.error.__cause__ = error
        except BaseException as error:  # raised where the results are taken
            self.error = error
        finally:
            with self._shown:
                self.ended = True
                self._shown.notify_all()

    @property
    def due(self) -> bool:
        """Whether a frame is ready, or none follows."""
        return bool(self._ready) or self.ended

    @property
    def status(self) -> SourceStatus:
        """How far it is."""
        with self._shown:
            ended = self.ended and not self.stopped and not self._ready
            return SourceStatus(self._captured, self._scored, self._dropped, ended, self.error if ended else None)

    def take(self) -> Frame | Found | None:
        """The frame that is due, None if the source has ended; the lock is held."""
        if not self._ready:
            return None
        item = self._ready.popleft()
        self._taken += 1
        self._in_use = 1
        return replace(item, index=self._taken - 1) if isinstance(item, Frame) else item

    def used(self) -> None:
        """The frame that was taken is no longer needed, and its producer may reuse the memory; the lock is held."""
        self._in_use = 0

    def given(self) -> None:
        """A result was given."""
        self._scored += 1

    @property
    def finder(self) -> CropFinder:
        """What finds the faces; opened at the first use."""
        if self._finder is None:
            self._finder, self._give_back = self._open_finder(self.source)
        return self._finder

    def prepare(self) -> None:
        """Open the face finder before the first frame is taken, which would else grow old meanwhile."""
        if not self._finds and self._ready:
            _ = self.finder

    def cut(self, item: Frame | Found) -> tuple[Found, dict[int, Crop]]:
        """The faces of a frame, found now if they were not before, and their crops."""
        found = self.finder.find(item) if isinstance(item, Frame) else item
        return found, self.finder.crops(found)

    def release(self) -> None:
        """Give the face finder back; if the thread may still use it, `Readers.close` does this later."""
        if self._finds and not self.ended:
            return
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def discard(self) -> None:
        """Drop the frames that are ready, and read no more; the lock is held."""
        self.stopped = self.stopped or not self.ended or bool(self._ready)
        self._ready.clear()

    def settle(self) -> None:
        """Count the frames without a result as dropped: none follows."""
        self._dropped = self._captured - self._scored

    def _read(self, opened: Source) -> None:
        frames = iter(opened)
        while self._wanted():
            with self._clock("read"):
                frame = next(frames, None)
            if frame is None:
                return
            self._put(self.finder.find(frame) if self._finds else self._own(frame))
            del frame  # else its memory is held while the next one is read

    def _wanted(self) -> bool:
        """Wait until the next frame may be asked for; whether it is wanted."""
        if self.live and self._full and not self._told:
            self._told = True
            log.warning(
                "%s: %d frames wait to be scored, and there is no room for more; until some are, it is not read, and "
                "delays do not count how long frames wait in the source",
                self.source.name, len(self._ready),
            )  # fmt: skip
        with self._used:
            self._used.wait_for(lambda: self.stopped or not self._full)
            return not self.stopped

    @property
    def _full(self) -> bool:
        return not self._newest and len(self._ready) + self._in_use >= self._room

    def _own(self, frame: Frame) -> Frame:
        """The frame with its own memory: a caller may write the next frame over its array."""
        return replace(frame, image=frame.image.copy()) if self.source.kind == "array" else frame

    def _put(self, item: Frame | Found) -> None:
        """Add a frame that is ready; with 'newest' in place of the one that waits."""
        if self._newest and self._ready:  # else a fast source would hold the lock all the time
            time.sleep(PAUSE_S)
        frame = item if isinstance(item, Frame) else item.frame
        with self._shown:
            self._captured += 1 + frame.dropped
            self._dropped += frame.dropped
            if self._newest and self._ready:
                item = self._in_place_of(self._ready.pop(), frame)
            if self.live or self.source.kind == "video":
                fit = max(1, self._bytes_ahead // frame.image.nbytes)
                self._room = 1 + (fit if self.live else min(FRAMES_AHEAD, fit))
            self._ready.append(item)
            if self.stopped:
                self.discard()
            self._shown.notify_all()

    def _in_place_of(self, passed: Frame | Found, frame: Frame) -> Frame:
        """The newer frame, with note, break and dropped count of the one that it replaces."""
        assert isinstance(passed, Frame)
        self._dropped += 1
        return replace(
            frame,
            dropped=passed.dropped + 1 + frame.dropped,
            breaks=passed.breaks or frame.breaks,
            note=frame.note or passed.note,
        )
