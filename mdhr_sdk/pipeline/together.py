"""Several sources at once, whose faces are encoded in one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from ..errors import MDHRError, SupersededError
from ..results import FrameResult
from ..vision import FaceMesher, Frame, Source
from .clock import StageClock
from .crops import CropFinder
from .decide import Naming
from .readers import Readers, _Reader, log
from .streams import SharedStreams
from .waiting import Waiting


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

        def begin(reader: _Reader) -> tuple[CropFinder, Waiting]:
            return CropFinder(mesher(reader.still), naming.preprocessing, clock), Waiting(naming, images)

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
    begin: Callable[[_Reader], tuple[CropFinder, Waiting]]
    begun: dict[int, tuple[CropFinder, Waiting]] = field(default_factory=dict)
    broken: list[BaseException] = field(default_factory=list)

    def step(self, due: dict[int, Frame | None]) -> Iterator[FrameResult]:
        """Take what is due, the faces of all in one batch; None ends a source."""
        crops = {}
        for number, frame in due.items():
            if frame is not None:
                if number not in self.begun:
                    self.begun[number] = self.begin(self.readers.all[number])
                finder, waiting = self.begun[number]
                found = finder.find(frame)
                cut_out = finder.crops(found)
                waiting.take(found, cut_out)
                crops[number] = (frame.index, cut_out)
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
