"""Threads that read sources, and the frames that are due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from ..vision import Frame, Source

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
