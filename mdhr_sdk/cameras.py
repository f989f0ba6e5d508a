"""Several sources at once, whose faces are encoded in one batch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from .clock import StageClock
from .errors import InputError, MDHRError
from .modes import SupersededError
from .pipeline import Finder, Naming, Waiting
from .results import FrameResult
from .scoring import SharedStreams
from .vision import FaceMesher, Frame, Source

MAX_SOURCES = 64  # each has a thread and a face finder of its own
CLOSE_S = 5.0  # how long the threads of an ended run are waited for
LIVE = ("camera", "stream")  # kinds that count as live until they are open and say what they are
log = logging.getLogger("mdhr_sdk")


@dataclass
class _Reader:
    """Reads one source in a thread of its own.

    A file is asked for its next frame once the last one was used, whose memory it may then write over. What is live is
    read without a pause and shows its newest frame; those that came too early to be taken are passed over, and not
    counted in `Frame.index`.
    """

    number: int
    source: Source
    check: Callable[[Source], None]  # raises if it is not fit, once it is open
    changed: threading.Condition  # of all readers; guards what follows
    live: bool = False
    still: bool = False
    error: BaseException | None = None
    frame: Frame | None = None  # shown, and not taken yet
    in_use: bool = False  # the one that was taken
    taken: int = 0
    passed_over: int = 0
    ended: bool = False  # nothing follows what is shown
    stopped: bool = False  # nothing more is wanted

    def __post_init__(self) -> None:
        self.live = self.source.kind in LIVE

    def run(self) -> None:
        try:
            with self.source as opened:
                self.check(opened)
                with self.changed:
                    self.live, self.still = opened.info.live, opened.info.still
                frames = iter(opened)
                while self._wanted() and (frame := next(frames, None)) is not None:
                    with self.changed:
                        self.passed_over += self.frame is not None
                        self.frame = frame
                        self.changed.notify_all()
        except BaseException as error:  # raised where the results are taken
            self.error = error
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _wanted(self) -> bool:
        """Wait until the next frame may be asked for; whether it is wanted."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or self.live or (self.frame is None and not self.in_use))
            return not self.stopped

    def take(self) -> Frame | None:
        """The frame that is shown, None where the source has ended; `changed` is held."""
        frame, self.frame = self.frame, None
        if frame is None:
            return None
        self.in_use = True
        self.taken += 1
        return replace(frame, index=self.taken - 1) if self.live else frame


class Readers:
    """Threads that read sources, and the frames that are due."""

    def __init__(self, sources: Sequence[Source], check: Callable[[Source], None]) -> None:
        self._changed = threading.Condition()
        self.all = [_Reader(number, source, check, self._changed) for number, source in enumerate(sources)]
        self._open = list(self.all)
        self._threads = [threading.Thread(target=reader.run, daemon=True) for reader in self.all]
        for thread in self._threads:
            thread.start()

    def due(self) -> dict[int, Frame | None]:
        """The newest frame of what is live, and the next one of every file; None says that a source has ended.

        Files wait for each other, and nothing that is live for anything else, nor anything for what is live or still
        opens as such. It waits for one frame at least; empty once all have ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready() or not self._open)
            found = {reader.number: reader.take() for reader in self._ready()}
        self._open = [reader for reader in self._open if found.get(reader.number, reader) is not None]
        return found

    def _ready(self) -> list[_Reader]:
        shown = [reader for reader in self._open if reader.frame is not None or reader.ended]
        waits = any(not reader.live and reader not in shown for reader in self._open)
        return [reader for reader in shown if reader.live] if waits else shown

    def used(self, numbers: Sequence[int]) -> None:
        """The frames of these sources are no longer needed, and their producers may reuse the memory."""
        with self._changed:
            for number in numbers:
                self.all[number].in_use = False
            self._changed.notify_all()

    def close(self) -> None:
        """End the threads. One whose source does not answer is left to end when it does."""
        with self._changed:
            for reader in self.all:
                reader.stopped = True
            self._changed.notify_all()
        until_s = time.monotonic() + CLOSE_S
        for reader, thread in zip(self.all, self._threads, strict=True):
            thread.join(max(0.0, until_s - time.monotonic()))
            if thread.is_alive():
                log.warning("%s has not answered for %g s, and stays open until it does", reader.source.name, CLOSE_S)


def few_enough(sources: list[Source]) -> list[Source]:
    """`sources`, if so many can be read at once, or InputError."""
    if len(sources) > MAX_SOURCES:
        raise InputError(
            f"expected at most {MAX_SOURCES} sources at once; got {len(sources)}; give the list to predict(), which "
            "reads one after the other, or share it out among several detectors"
        )
    return sources


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

        def begin(reader: _Reader) -> tuple[Finder, Waiting]:
            return Finder(mesher(reader.still), clock), Waiting(naming, clock, images)

        run = _Together(readers, streams, begin)
        stack.callback(run.close)
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
    begin: Callable[[_Reader], tuple[Finder, Waiting]]
    begun: dict[int, tuple[Finder, Waiting]] = field(default_factory=dict)
    broken: list[BaseException] = field(default_factory=list)

    def step(self, due: dict[int, Frame | None]) -> Iterator[FrameResult]:
        """Take what is due, the faces of all in one batch; None ends a source."""
        crops = {}
        for number, frame in due.items():
            if frame is not None:
                if number not in self.begun:
                    self.begun[number] = self.begin(self.readers.all[number])
                finder, waiting = self.begun[number]
                crops[number] = (frame.index, waiting.take(finder.find(frame)))
        self.readers.used([*crops])
        scores = self.streams.push(crops) if crops else {}
        for number, scored in scores.items():  # before any end, which can fail
            yield from self.begun[number][1].give(scored)
        for number in [one for one in due if one not in scores]:
            reader = self.readers.all[number]
            yield from self.end(reader)
            if reader.passed_over:
                log.info("%s: %d frames taken, %d passed over", reader.source.name, reader.taken, reader.passed_over)
            if isinstance(reader.error, MDHRError):
                log.warning("%s; the other sources go on", reader.error)
                self.broken.append(reader.error)
            elif reader.error is not None:
                raise reader.error

    def end(self, reader: _Reader) -> Iterator[FrameResult]:
        """Score what still waits of a source; its face finder is closed first."""
        if reader.number in self.begun:
            finder, waiting = self.begun.pop(reader.number)
            finder.close()
            yield from waiting.give(self.streams.flush(reader.number))

    def close(self) -> None:
        """Close the face finders of sources that have not ended."""
        for finder, _ in self.begun.values():
            finder.close()


def _timed(clock: StageClock, readers: Readers) -> dict[int, Frame | None]:
    with clock("read"):
        return readers.due()
