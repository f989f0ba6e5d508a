"""Reads one source in a thread: a file waits until its frames are used, a live source shows its newest frame."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from ..children import usable_cores
from ..errors import MDHRError, SourceError
from ..results import FrameResult, SourceStatus
from ..vision import Frame, Source, SourceInfo
from ..vision.sources.arrivals import Passed
from ..vision.sources.live.health import Health, Patience
from ..vision.sources.live.supervisor import Supervisor
from ..vision.sources.span import frames_in
from .clock import Rate, StageClock
from .crops import CropFinder, Found, Meshed
from .modes import Policy
from .one_ahead import one_ahead
from .scoring import Crop

PAUSE_S = 1e-4  # between frames that are dropped
FRAMES_AHEAD = 16  # a clip's length: its scores come all at once
LIVE = ("camera", "stream")  # kinds that count as live until they are open

OpenFinder = Callable[[Source], tuple[CropFinder, Callable[[], None]]]

log = logging.getLogger("mdhr_sdk")


class Reader:
    """Reads one source in a thread of its own.

    With 'complete' it also finds the faces of a file. A video file is read some frames ahead; any other file is asked
    for its next frame once the last one was used, whose memory it may overwrite. A live source is read without a pause,
    so that each frame's arrival is known: with 'newest' only the newest frame is kept, with 'complete' as many as fit
    into `bytes_ahead`. Cameras and streams are read by a process, and opened again as `patience` says.

    Args:
        check, open_finder: as of `Readers`.
        policy: None for 'newest' if the source is live, else 'complete'.
        patience: with live sources.
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
        patience: Patience,
        shown: threading.Condition,
        used: threading.Condition,
        bytes_ahead: int,
    ) -> None:
        self.source = source
        self.live = source.kind in LIVE  # then it waits for no other source, and none for it
        self.error: BaseException | None = None
        self.to_blame = True  # for its error; not if the face finder fails
        self.opened = self.ended = self.stopped = False
        self.decodes_in: threading.Thread | None = None  # this one's, or one beside it
        self._check = check
        self._open_finder = open_finder
        self._finder: CropFinder | None = None
        self._give_back: Callable[[], None] | None = None
        self._clock = clock
        self._policy = policy
        self._shown = shown
        self._used = used
        self._bytes_ahead = bytes_ahead
        self.newest = self._finds = self._told = False
        self._health = Health()
        self._supervisor: Supervisor | None = None
        if source.spec is not None and os.name == "posix":  # elsewhere it is read here, and not opened again
            spec = replace(source.spec, complete=policy == "complete")
            self._supervisor = Supervisor(source, spec, patience, self._passed)
        self._ready: deque[Frame | Meshed] = deque()
        self._room = 1  # frames that may be ready or in use
        self._in_use = 0
        self._captured = self._taken = self._scored = 0
        self._dropped: Counter[str] = Counter()
        self._in, self._out = Rate(), Rate()

    def run(self) -> None:
        """Read the source to its end, or until `stopped`."""
        try:
            with self._supervisor or self.source as opened:
                self._check(opened.info)
                with self._shown:
                    self.live = opened.info.live
                    self.newest = self._policy == "newest" or (self._policy is None and self.live)
                    self._finds = not self.newest and not self.live
                    self.opened = True
                    self._health = self._health.become("live")
                _ = self.finder  # here: it takes a while, and the scoring of other sources goes on
                self._read(opened)
        except MDHRError as error:
            self.error = None if self.unanswered else error
        except Exception as error:  # for example of the caller's own iterator
            self.error = SourceError(f"{self.source.name} cannot be read on: {type(error).__name__}: {error}")
            self.error.__cause__ = error
        except BaseException as error:  # raised where the results are taken
            self.error = error
        finally:
            with self._shown:
                self.ended = True
                self._health = self._health.become("ended")
                self._shown.notify_all()

    @property
    def due(self) -> bool:
        """Whether a frame is ready, or none follows."""
        return bool(self._ready) or self.ended

    @property
    def status(self) -> SourceStatus:
        """How it is doing, and how far it is."""
        with self._shown:
            ended = self.ended and not self.stopped and not self._ready
            health = self._supervisor.health if self._supervisor is not None else self._health
            if self.ended:
                health = health.become("ended", "" if self.error is None else str(self.error))
            return SourceStatus(
                self._captured, self._scored, self._dropped.total(), ended, self.error if ended else None,
                self.source.name, health.state, health.reason, health.since, health.reconnects, dict(self._dropped),
                self._in.per_s, self._out.per_s,
            )  # fmt: skip

    @property
    def unanswered(self) -> bool:
        """The run was left before the source was open."""
        return self.stopped and not self.opened

    def take(self) -> Frame | Meshed | None:
        """The frame that is due, None if the source has ended; the lock is held."""
        if not self._ready:
            return None
        item = self._ready.popleft()
        self._taken += 1
        self._in_use = 1
        return replace(item, index=self._taken - 1) if isinstance(item, Frame) else item

    def renewed(self, item: Frame | Meshed) -> Frame | Meshed:
        """The frame that was taken, or in its place a newer one that has come since; the lock is held."""
        if not self.newest or not self._ready or not isinstance(item, Frame):
            return item
        newer = self._ready.pop()
        assert isinstance(newer, Frame)
        return replace(self._one_of(item, newer), index=item.index)

    def used(self) -> None:
        """The frame that was taken is no longer needed, and its producer may reuse the memory; the lock is held."""
        self._in_use = 0

    @property
    def supervised(self) -> bool:
        """Whether it is read by a process, and may pass over frames."""
        return self._supervisor is not None and self._policy != "complete"

    def unread(self, count: int) -> None:
        """So many results were replaced by newer ones before anybody took them."""
        if count:
            with self._shown:
                self._dropped["unread"] += count

    def given(self, result: FrameResult) -> None:
        """A result was given; one that only says that nothing new came is of no frame."""
        if not result.stale:
            self._scored += 1
            self._out.count()

    @property
    def finder(self) -> CropFinder:
        """What finds the faces; opened at the first use."""
        if self._finder is None:
            with self._not_to_blame():
                self._finder, self._give_back = self._open_finder(self.source)
        return self._finder

    @contextmanager
    def _not_to_blame(self) -> Iterator[None]:
        """What fails in the block is no fault of the source."""
        try:
            yield
        except Exception:
            self.to_blame = False
            raise

    def cut(self, item: Frame | Meshed) -> tuple[Found, dict[int, Crop]]:
        """The faces of a frame, whose meshes are found now if they were not before, and their crops."""
        if isinstance(item, Frame) and item.stale:
            return Found(item, {}), {}
        finder = self.finder
        found = finder.find(item) if isinstance(item, Frame) else finder.follow(item)
        return found, finder.crops(found)

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
        if self._supervisor is not None:
            self._supervisor.stop()

    def settle(self) -> None:
        """Count the frames without a result as dropped: none follows."""
        if left := self._captured - self._scored - self._dropped.total():
            self._dropped["left"] += left

    def _passed(self, counts: Passed) -> None:
        """Frames were captured, and dropped where they were captured."""
        with self._shown:
            self._dropped.update(counts)
            for count in counts.values():
                self._captured += count
                self._in.count(count)

    def _read(self, opened: Source | Supervisor) -> None:
        frames: Iterator[Frame] = iter(opened)
        scope = self.source.scope
        if scope.narrows and opened is not self.source:  # read by another process, which knows of no scope
            frames = frames_in(scope, frames, self.source.name)

        def decode() -> Frame | None:
            self.decodes_in = threading.current_thread()
            with self._clock("read"):
                return next(frames, None)

        if not self._finds:
            while self._wanted() and (frame := decode()) is not None:
                self._put(self._own(frame))
                del frame  # else its memory is held while the next one is read
            return
        finder = self.finder

        def compared() -> tuple[Frame, bool] | None:
            return None if (frame := decode()) is None else (frame, finder.is_cut(frame))

        beside = self.source.kind == "video" and usable_cores() > 1
        with one_ahead(compared) if beside else nullcontext(compared) as following:
            while self._wanted() and (pair := following()) is not None:
                with self._not_to_blame():
                    meshed = finder.mesh(*pair)
                self._put(meshed)
                del pair, meshed

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
        return not self.newest and len(self._ready) + self._in_use >= self._room

    def _own(self, frame: Frame) -> Frame:
        """The frame with its own memory: a caller may write the next frame over its array."""
        return replace(frame, image=frame.image.copy()) if self.source.kind == "array" else frame

    def _put(self, item: Frame | Meshed) -> None:
        """Add a frame that is ready; with 'newest' in place of the one that waits."""
        if self.newest and self._ready:  # else a fast source would hold the lock all the time
            time.sleep(PAUSE_S)
        frame = item if isinstance(item, Frame) else item.frame
        with self._shown:
            self._count(frame)
            if self.newest and self._ready:
                item = self._one_of(self._ready.pop(), frame)
            if self.live or self.source.kind == "video":
                fit = max(1, self._bytes_ahead // frame.image.nbytes)
                self._room = 1 + (fit if self.live else min(FRAMES_AHEAD, fit))
            self._ready.append(item)
            if self.stopped:
                self.discard()
            self._shown.notify_all()

    def _count(self, frame: Frame) -> None:
        if not frame.stale:
            self._captured += 1
            self._in.count()
        if self._supervisor is None and frame.dropped:  # a supervisor has told of them
            self._captured += frame.dropped
            self._dropped["newer"] += frame.dropped

    def _one_of(self, waits: Frame | Meshed, newer: Frame) -> Frame:
        """The newer frame, with note, break and dropped count of the one that it replaces; no news replace nothing."""
        assert isinstance(waits, Frame)
        if newer.stale:
            return replace(waits, dropped=waits.dropped + newer.dropped)
        self._dropped["newer"] += not waits.stale
        return replace(
            newer,
            dropped=waits.dropped + (not waits.stale) + newer.dropped,
            breaks=waits.breaks or newer.breaks,
            note=newer.note or waits.note,
        )
