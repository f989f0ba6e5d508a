"""Reads 1 to 64 sources at once: files wait for each other, live sources for none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from ..ending import before_end, no_longer
from ..results import SourceStatus
from ..vision import Frame, Source, SourceInfo
from ..vision.sources.live.health import ENDS, Patience
from .clock import StageClock
from .crops import Meshed
from .modes import Policy
from .reader import OpenFinder, Reader, log

CLOSE_S = 5.0  # how long the threads of an ended run are waited for
OPENING_S = 0.5  # the same for a source that is not open yet, and perhaps never will be
POLL_S = 0.1  # a signal handler can set a flag but wake nobody
BYTES_AHEAD = 128 << 20  # of pictures, of all sources together: 20 of 1920 x 1080, 5 of 3840 x 2160


class Readers:
    """The threads that read the sources of one run, and the frames that are due.

    Args:
        sources: 1 to 64, not open.
        check: raises if an open source is unfit.
        open_finder: makes the face finder of a source, and a function that gives it back. Called in any thread.
        policy: None for the one that fits each source.
        patience: with live sources.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        check: Callable[[SourceInfo], None],
        open_finder: OpenFinder,
        clock: StageClock,
        policy: Policy | None = None,
        patience: Patience = ENDS,
    ) -> None:
        lock = threading.RLock()  # may be closed by garbage collection, anywhere
        self._shown, self._used = threading.Condition(lock), threading.Condition(lock)
        share = BYTES_AHEAD // len(sources)
        self.all = [
            Reader(one, check, open_finder, clock, policy, patience, self._shown, self._used, share) for one in sources
        ]
        self.finishing = False  # set this to read no more; a signal's handler may
        self._open = dict(enumerate(self.all))
        self._pid = os.getpid()
        self._closed = False
        self._threads = [
            threading.Thread(target=one.run, name=f"mdhr reads {one.source.name}", daemon=True) for one in self.all
        ]
        before_end(self.close)
        for thread in self._threads:
            thread.start()

    def due(self) -> dict[int, Frame | Meshed | None]:
        """The next frame of each source that has one, by the source's number; None, once, for a source that has ended.

        Files wait for each other. Live sources never block others, and nothing blocks them. The frames of the previous
        call are no longer in use. Waits for at least one frame; empty once all have ended or this is closed.
        """
        with self._shown:
            for reader in self._open.values():
                reader.used()
            self._used.notify_all()
            while not self._shown.wait_for(lambda: self.finishing or not self._open or self._ready(), POLL_S):
                pass
            if self.finishing:
                self._leave()
            due = {number: self._open[number].take() for number in self._ready()}
            self._open = {number: one for number, one in self._open.items() if due.get(number, one) is not None}
            self._used.notify_all()
        return due

    def renewed(self, reader: Reader, item: Frame | Meshed) -> Frame | Meshed:
        """A frame that is due, or the newest one of its source, if it had to wait for the faces of others."""
        with self._shown:
            return reader.renewed(item)

    def _ready(self) -> list[int]:
        shown = [number for number, reader in self._open.items() if reader.due]
        waits = any(not reader.live and not reader.due for reader in self._open.values())
        return [number for number in shown if self._open[number].live] if waits else shown

    @property
    def status(self) -> dict[str, SourceStatus]:
        """How far each source is, by its name; empty in a fork, where a missing thread may hold the lock."""
        return {one.source.name: one.status for one in self.all} if os.getpid() == self._pid else {}

    def close(self) -> None:
        """End the threads; may be called twice and from anywhere.

        A thread whose source does not answer is left behind, and ends when it does.
        """
        if self._closed or os.getpid() != self._pid:  # a fork has none of the threads
            return
        self.leave()
        if self.reads_in(threading.current_thread()):  # by garbage collection in a reader: it ends after this item
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
        no_longer(self.close)

    @property
    def ahead(self) -> bool:
        """Whether results may be made before they are asked for: every source shows its newest frame."""
        return all(reader.supervised for reader in self.all)

    def reads_in(self, thread: threading.Thread) -> bool:
        """Whether a thread is one of these."""
        return thread in self._threads or any(one.decodes_in is thread for one in self.all)

    def leave(self) -> None:
        """Read no more, and drop the frames that are ready; does not wait for the threads."""
        with self._shown:
            self._leave()

    def _leave(self) -> None:
        """As `leave`; the lock is held."""
        self._open = {}
        for reader in self.all:
            reader.discard()
        self._used.notify_all()
        self._shown.notify_all()
