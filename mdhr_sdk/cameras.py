"""Several sources at once, whose faces are encoded in one batch."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
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
    """Reads one source in a thread of its own, one frame ahead of nobody: the next when the last one was used."""

    number: int
    source: Source
    frames: queue.SimpleQueue[tuple[_Reader, Frame | None]]
    live: bool = False  # once it is open
    still: bool = False
    error: BaseException | None = None
    stopped: bool = False
    used: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))

    def run(self) -> None:
        try:
            with self.source as opened:
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

    def __init__(self, sources: Sequence[Source]) -> None:
        self._frames: queue.SimpleQueue[tuple[_Reader, Frame | None]] = queue.SimpleQueue()
        self.all = [_Reader(number, source, self._frames) for number, source in enumerate(sources)]
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
        readers = Readers(sources)
        stack.callback(readers.close)
        waiting: dict[int, Waiting] = {}
        broken: list[BaseException] = []
        try:
            while due := _timed(clock, readers):
                check()
                frames = {number: frame for number, frame in due.items() if frame is not None}
                for number in frames.keys() - waiting.keys():
                    own = mesher(readers.all[number].still)
                    stack.callback(own.close)
                    waiting[number] = Waiting(naming, own, clock, images)
                crops = {number: (frame.index, waiting[number].take(frame)) for number, frame in frames.items()}
                readers.used([*frames])
                scores = streams.push(crops) if crops else {}
                for number in due:
                    yield from waiting[number].give(scores[number]) if number in scores else ()
                    if number not in frames:
                        yield from _ended(readers.all[number], streams, waiting, broken)
        except SupersededError:
            raise
        except MDHRError as error:  # the frames before it are scored before it shows
            broken.insert(0, error)
        except KeyboardInterrupt as stop:  # how cameras end: their last frames count too
            if not all(reader.live for reader in readers.all):
                raise
            broken.insert(0, stop)
        for number, rest in waiting.items():
            yield from rest.give(streams.flush(number))
        if broken:
            raise broken[0]


def _timed(clock: StageClock, readers: Readers) -> dict[int, Frame | None]:
    with clock("read"):
        return readers.due()


def _ended(
    reader: _Reader, streams: SharedStreams, waiting: dict[int, Waiting], broken: list[BaseException]
) -> Iterator[FrameResult]:
    """Score what still waits of a source; the others go on, whatever ended it."""
    if reader.number in waiting:
        yield from waiting[reader.number].give(streams.flush(reader.number))
    if reader.error is None:
        return
    if not isinstance(reader.error, MDHRError):
        raise reader.error
    log.warning("%s; the other sources go on", reader.error)
    broken.append(reader.error)
