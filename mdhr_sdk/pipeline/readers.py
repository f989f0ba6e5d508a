"""Reads 1 to 64 sources at once: files wait until their frames are used, live sources show their newest frame."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import MDHRError, SourceError
from ..vision import Frame, Source, SourceInfo
from .clock import StageClock
from .crops import CropFinder, Found
from .modes import Policy
from .scoring import Crop

CLOSE_S = 5.0  # how long the threads of an ended run are waited for
OPENING_S = 0.5  # the same where a source is not open yet, and perhaps never will be
POLL_S = 0.1  # a signal's handler can set a flag, and wake nobody
PAUSE_S = 1e-4  # between frames that are dropped
FRAMES_AHEAD = 16  # as many as a clip has, whose scores come all at once
BYTES_AHEAD = 128 << 20  # of pictures, of all sources together: 20 of 1920 x 1080, 5 of 3840 x 2160
LIVE = ("camera", "stream")  # kinds that count as live until they are open and say what they are

OpenFinder = Callable[[SourceInfo], tuple[CropFinder, Callable[[], None]]]

log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class SourceStatus:
    """How far a source is read.

    Attributes:
        captured: frames that were read. At the end `scored + dropped`; before, some are on their way.
        scored: frames whose result was given.
        dropped: frames that gave no result: of a live source those that came too early, and of a run that was left
            those that were on their way.
        ended: it came to its end, or broke off; not if the run was left before.
        error: why it ended early; None if it did not.
    """

    captured: int = 0
    scored: int = 0
    dropped: int = 0
    ended: bool = False
    error: BaseException | None = None


class Reader:
    """Reads one source in a thread of its own.

    With the policy 'complete' it also finds the faces there, and stops while enough frames lie ready. Of a video file
    these are some frames. Every other file is asked for its next frame once the last one was used, whose memory it
    may then write over. What is live is read without a pause, so that each frame tells when it came: with 'newest' one
    frame is kept, the newest, and with 'complete' as many as fit into `bytes_ahead`.

    Args:
        check: raises if the source is not fit, once it is open.
        open_finder: makes what finds its faces, and a function that gives this back.
        policy: None for 'newest' where the source is live, else 'complete'.
        shown: of all readers, told when a frame lies ready or a source has ended.
        used: of the same lock, told when frames were taken or used.
        bytes_ahead: most bytes of pictures that lie ready.
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
        self.live = source.kind in LIVE  # waits for no other source, and no other source waits for it
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
        self._room = 1  # frames that may lie ready or be in use
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
        except Exception as error:  # as of the caller's own iterator
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
        """Whether a frame lies ready, or none follows."""
        return bool(self._ready) or self.ended

    @property
    def status(self) -> SourceStatus:
        """How far it is."""
        with self._shown:
            ended = self.ended and not self.stopped and not self._ready
            return SourceStatus(self._captured, self._scored, self._dropped, ended, self.error if ended else None)

    def take(self) -> Frame | Found | None:
        """The frame that is due, None where the source has ended; the lock is held."""
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

    def prepare(self) -> None:
        """Open what finds faces before the first frame is taken, which would grow old meanwhile."""
        if not self._finds and self._ready and self._finder is None:
            self._finder, self._give_back = self._open_finder(self.source.info)

    def find(self, frame: Frame) -> Found:
        """Find the faces of the next frame."""
        if self._finder is None:
            self._finder, self._give_back = self._open_finder(self.source.info)
        return self._finder.find(frame)

    def crops(self, found: Found) -> dict[int, Crop]:
        """As `CropFinder.crops`."""
        assert self._finder is not None  # it found them
        return self._finder.crops(found)

    def release(self) -> None:
        """Give the face finder back, as nothing follows; where the thread may still be at a frame, `close` does it."""
        if self._finds and not self.ended:
            return
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def discard(self) -> None:
        """Drop what lies ready, and read no more; the lock is held."""
        self.stopped = self.stopped or not self.ended or bool(self._ready)
        self._ready.clear()

    def settle(self) -> None:
        """What has no result now gets none."""
        self._dropped = self._captured - self._scored

    def _read(self, opened: Source) -> None:
        frames = iter(opened)
        while self._wanted():
            with self._clock("read"):
                frame = next(frames, None)
            if frame is None:
                return
            self._show(frame) if self._newest else self._keep(self.find(frame) if self._finds else self._own(frame))
            del frame  # else it is held while the next one is made

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
        """The frame in memory of its own; an array is the caller's, which the next frame may be written over."""
        return replace(frame, image=frame.image.copy()) if self.source.kind == "array" else frame

    def _show(self, frame: Frame) -> None:
        """Replace the waiting frame; keep its note, its break and its count of dropped frames."""
        if self._ready:  # a fast source would keep the lock from the consumer
            time.sleep(PAUSE_S)
        frame = self._own(frame)
        with self._shown:
            self._captured += 1 + frame.dropped
            self._dropped += frame.dropped
            if self._ready:
                passed = self._ready.pop()
                assert isinstance(passed, Frame)
                self._dropped += 1
                dropped = passed.dropped + 1 + frame.dropped
                frame = replace(
                    frame, dropped=dropped, breaks=passed.breaks or frame.breaks, note=frame.note or passed.note
                )
            self._ready.append(frame)
            self._settle()

    def _keep(self, item: Frame | Found) -> None:
        frame = item if isinstance(item, Frame) else item.frame
        with self._shown:
            self._captured += 1 + frame.dropped
            self._dropped += frame.dropped
            if self.live or self.source.kind == "video":
                fit = max(1, self._bytes_ahead // frame.image.nbytes)
                self._room = 1 + (fit if self.live else min(FRAMES_AHEAD, fit))
            self._ready.append(item)
            self._settle()

    def _settle(self) -> None:
        if self.stopped:
            self.discard()
        self._shown.notify_all()


class Readers:
    """The threads that read the sources of one run, and the frames that are due.

    Args:
        sources: 1 to 64, not open.
        check: raises if a source is not fit, once it is open.
        open_finder: makes what finds the faces of a source, and a function that gives this back. Called in any thread.
        policy: None for what fits each source.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        check: Callable[[SourceInfo], None],
        open_finder: OpenFinder,
        clock: StageClock,
        policy: Policy | None = None,
    ) -> None:
        lock = threading.RLock()  # garbage may be collected, and this closed, anywhere
        self._shown, self._used = threading.Condition(lock), threading.Condition(lock)
        share = BYTES_AHEAD // len(sources)
        self.all = [Reader(one, check, open_finder, clock, policy, self._shown, self._used, share) for one in sources]
        self.finishing = False  # set this to read no more; a signal's handler may
        self._open = dict(enumerate(self.all))
        self._pid = os.getpid()
        self._closed = False
        self._threads = [
            threading.Thread(target=one.run, name=f"mdhr reads {one.source.name}", daemon=True) for one in self.all
        ]
        atexit.register(self.close)  # a native library in a thread does not outlive the interpreter
        for thread in self._threads:
            thread.start()

    def due(self) -> dict[int, Frame | Found | None]:
        """What is due of each source, by its number: the next frame, or None once, when the source has ended.

        Files wait for each other. Live sources never block others, and nothing blocks them. The frames of the call
        before are no longer in use. Waits for one frame at least; empty once all have ended or this is closed.
        """
        with self._shown:
            for reader in self._open.values():
                reader.used()
            self._used.notify_all()
            while not self._shown.wait_for(lambda: self.finishing or not self._open or self._ready(), POLL_S):
                pass
            if self.finishing:
                self._leave()
            first = [self._open[number] for number in self._ready()]
        for reader in first:
            reader.prepare()
        with self._shown:
            due = {number: self._open[number].take() for number in self._ready()}
            self._open = {number: one for number, one in self._open.items() if due.get(number, one) is not None}
            self._used.notify_all()
        return due

    def _ready(self) -> list[int]:
        shown = [number for number, reader in self._open.items() if reader.due]
        waits = any(not reader.live and not reader.due for reader in self._open.values())
        return [number for number in shown if self._open[number].live] if waits else shown

    @property
    def status(self) -> dict[str, SourceStatus]:
        """How far each source is, by its name; empty in a fork, where a lock may be held by a thread that is gone."""
        return {one.source.name: one.status for one in self.all} if os.getpid() == self._pid else {}

    def close(self) -> None:
        """End the threads; may be called twice and from anywhere.

        A thread whose source does not answer is left to end when it does.
        """
        if self._closed or os.getpid() != self._pid:  # a fork has none of the threads
            return
        with self._shown:
            self._leave()
        if threading.current_thread() in self._threads:  # its own garbage collection: it ends after this item
            return
        since_s = time.monotonic()
        for reader, thread in zip(self.all, self._threads, strict=True):
            patience_s = CLOSE_S if reader.opened else OPENING_S
            thread.join(max(0.0, since_s + patience_s - time.monotonic()))
            if not thread.is_alive():
                reader.release()
            elif reader.opened:
                log.warning("%s has not answered for %g s, and stays open until it does", reader.source.name, CLOSE_S)
        with self._shown:
            for reader in self.all:
                reader.settle()
        self._closed = True
        atexit.unregister(self.close)

    def _leave(self) -> None:
        """Read no more, and drop what lies ready; the lock is held."""
        self._open = {}
        for reader in self.all:
            reader.discard()
        self._used.notify_all()
        self._shown.notify_all()
