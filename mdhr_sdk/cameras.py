"""Several sources at once, whose faces are encoded in one batch."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from .clock import StageClock
from .errors import MDHRError
from .modes import SupersededError
from .pipeline import Naming, Waiting
from .results import FrameResult
from .scoring import SharedStreams
from .vision import FaceMesher, Frame, Source

log = logging.getLogger("mdhr_sdk")


@dataclass
class _Reader:
    """Reads one source in a thread of its own: the next frame when the last one was used."""

    number: int
    source: Source
    check: Callable[[Source], None]  # raises if it is not fit, once it is open
    frames: queue.SimpleQueue[tuple[_Reader, Frame | None]]
    live: bool = False  # once it is open
    still: bool = False
    error: BaseException | None = None
    stopped: bool = False
    used: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))

    def run(self) -> None:
        try:
            with self.source as opened:
                self.check(opened)
                self.live, self.still = opened.info.live, opened.info.still
                for frame in opened:
                    self.used.acquire()
                    if self.stopped:
                        return
                    self.frames.put((self, frame))
        except BaseException as error:  # raised where the results are taken
            self.error = error
        finally:
            self.used.acquire()
            self.frames.put((self, None))


class Readers:
    """Threads that read sources, and the frames that are due."""

    def __init__(self, sources: Sequence[Source], check: Callable[[Source], None]) -> None:
        self._frames: queue.SimpleQueue[tuple[_Reader, Frame | None]] = queue.SimpleQueue()
        self.all = [_Reader(number, source, check, self._frames) for number, source in enumerate(sources)]
        self._open = set(range(len(self.all)))
        self._threads = [threading.Thread(target=reader.run, daemon=True) for reader in self.all]
        for thread in self._threads:
            thread.start()

    def due(self) -> dict[int, Frame | None]:
        """The next frame of every file, and of those cameras that have one; None says that a source has ended.

        It waits for files, and for one frame where there are only cameras; empty once all have ended.
        """
        found: dict[int, Frame | None] = {}
        while self._open - found.keys():
            wait = not found or any(not self.all[number].live for number in self._open - found.keys())
            try:
                reader, frame = self._frames.get(block=wait)
            except queue.Empty:
                break
            found[reader.number] = frame
        self._open -= {number for number, frame in found.items() if frame is None}
        return found

    def used(self, numbers: Sequence[int]) -> None:
        """The frames of these sources are no longer needed, and their producers may reuse the memory."""
        for number in numbers:
            self.all[number].used.release()

    def close(self) -> None:
        """End the threads; one that waits for its camera ends when that answers or times out."""
        for reader in self.all:
            reader.stopped = True
            reader.used.release(2)
        for thread in self._threads:
            thread.join()


def run_together(
    sources: Sequence[Source],
    streams: SharedStreams,
    naming: Naming,
    mesher: Callable[[bool], FaceMesher],
    clock: StageClock,
    images: bool,
    check: Callable[[], None],
) -> Iterator[FrameResult]:
    """Yield the frames of all sources as they become due; `check` raises once nobody is to go on."""
    check()
    with ExitStack() as stack:
        readers = Readers(sources, naming.check)
        stack.callback(readers.close)

        def begin(reader: _Reader) -> Waiting:
            return Waiting(naming, stack.enter_context(closing(mesher(reader.still))), clock, images)

        run = _Together(readers, streams, begin)
        try:
            while due := _timed(clock, readers):
                check()
                yield from run.step(due)
        except SupersededError:
            raise
        except MDHRError as error:  # the frames before it are scored before it shows
            run.broken.insert(0, error)
        except KeyboardInterrupt as stop:  # how cameras end: their last frames count too
            if not all(reader.live for reader in readers.all):
                raise
            run.broken.insert(0, stop)
        for reader in readers.all:
            yield from run.end(reader)
        if run.broken:
            raise run.broken[0]


@dataclass
class _Together:
    """The sources that have begun, and what broke on the way."""

    readers: Readers
    streams: SharedStreams
    begin: Callable[[_Reader], Waiting]
    waiting: dict[int, Waiting] = field(default_factory=dict)
    broken: list[BaseException] = field(default_factory=list)

    def step(self, due: dict[int, Frame | None]) -> Iterator[FrameResult]:
        """Take what is due, the faces of all in one batch; None ends a source."""
        crops = {}
        for number, frame in due.items():
            if frame is not None:
                if number not in self.waiting:
                    self.waiting[number] = self.begin(self.readers.all[number])
                crops[number] = (frame.index, self.waiting[number].take(frame))
        self.readers.used([*crops])
        scores = self.streams.push(crops) if crops else {}
        for number in due:
            if number in scores:
                yield from self.waiting[number].give(scores[number])
                continue
            reader = self.readers.all[number]
            yield from self.end(reader)
            if isinstance(reader.error, MDHRError):
                log.warning("%s; the other sources go on", reader.error)
                self.broken.append(reader.error)
            elif reader.error is not None:
                raise reader.error

    def end(self, reader: _Reader) -> Iterator[FrameResult]:
        """Score what still waits of a source."""
        if reader.number in self.waiting:
            yield from self.waiting.pop(reader.number).give(self.streams.flush(reader.number))


def _timed(clock: StageClock, readers: Readers) -> dict[int, Frame | None]:
    with clock("read"):
        return readers.due()
