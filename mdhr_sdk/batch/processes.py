"""Workers in processes of this machine. One that is killed is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import MDHRError
from .crew import Answer, Lost
from .options import Described
from .worker import Job, Worker

ENDS_S = 5.0  # how long an ended worker is waited for
MOST_FALSE_STARTS = 3  # in a row, of workers that end before they are ready

Make = Callable[[], Worker]


class Processes:
    """A `Crew` of processes that are started anew, not forked: face models do not survive a fork.

    Args:
        make: makes a worker in its process; picklable.
        size: how many.
        begin: called first in each process, for example to set up logging; picklable.
    """

    def __init__(self, make: Make, size: int, begin: Callable[[], None] | None = None) -> None:
        self.described: Described | None = None
        self._make, self._begin = make, begin
        self._context = multiprocessing.get_context("spawn")
        self._false_starts = 0
        self._all: list[_Process] = []
        try:
            for _ in range(size):
                self._start()
        except BaseException:
            self.close()
            raise

    @property
    def free(self) -> int:
        return sum(one.job is None for one in self._all)

    def give(self, job: Job) -> None:
        one = next(one for one in self._all if one.job is None)
        one.job = job
        with suppress(OSError):  # it has ended, which `wait` finds
            one.pipe.send(job)

    def wait(self, timeout_s: float) -> list[Answer]:
        wait([one.pipe for one in self._all], timeout_s)
        answers: list[Answer] = []
        for one in [*self._all]:
            try:
                while one.pipe.poll():
                    answers += self._heard(one, *one.pipe.recv())
            except (EOFError, OSError):
                answers += self._ended(one)
        return answers

    def close(self) -> None:
        for one in self._all:
            one.process.kill()
        for one in self._all:
            one.process.join(ENDS_S)
            one.pipe.close()
        self._all.clear()

    def _start(self) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self._make, self._begin), daemon=True)
        with _interrupts_held_back():
            process.start()
        there.close()
        self._all.append(_Process(process, here))

    def _heard(self, one: _Process, what: str, value: Any) -> Iterator[Answer]:
        job = one.job
        if what == "ready":
            self.described, one.ready, self._false_starts = value, True, 0
        elif what == "refused":
            raise value
        elif job is not None:
            one.job = None
            yield (job, value) if what == "done" else Lost(job, value)

    def _ended(self, one: _Process) -> Iterator[Answer]:
        """A worker that is no more; another one takes its place."""
        self._all.remove(one)
        one.process.join(ENDS_S)
        one.pipe.close()
        reason = _why(one.process.exitcode)
        self._false_starts += not one.ready
        if self._false_starts >= MOST_FALSE_STARTS:
            raise MDHRError(f"worker processes end before they are ready ({reason}); give fewer --jobs, or free memory")
        self._start()
        if one.job is not None:
            yield Lost(one.job, f"its worker {reason}", one.ready)


class _Process:
    """A process and what it is at."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.job: Job | None = None
        self.ready = False


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else f"signal {-code}"
        return f"was killed by {name}" + (" (out of memory?)" if code == -9 else "")
    return f"ended with exit code {code}"


def _work(pipe: Connection, make: Make, begin: Callable[[], None] | None) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()
    with suppress(OSError, EOFError):  # the first process has ended
        try:
            worker = make()
        except MDHRError as error:
            pipe.send(("refused", error.with_traceback(None)))
            return
        pipe.send(("ready", worker.described))
        while True:
            job = pipe.recv()
            try:
                answer: tuple[str, Any] = ("done", worker.run(job))
            except Exception as error:
                answer = ("lost", " ".join(f"{type(error).__name__}: {error}".split()))
            pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends: a process that starts in it does not die of one."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
