"""Workers in processes of this machine. One that is killed is replaced."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from ...children import follow_parent, interrupts_held_back
from ...errors import MDHRError
from ..worker import Job, Worker
from .cores import take_cores
from .crew import Answer, Lost, Member, Replacing
from .early import start_context

ENDS_S = 5.0  # how long an ended worker is waited for

Make = Callable[[], Worker]


class Processes(Replacing["_Process"]):
    """A `Crew` of processes that are not forked from this one: face models do not survive a fork.

    Args:
        make: makes a worker in its process; picklable.
        size: how many.
        begin: called first in each process, for example to set up logging; picklable.
        cores: each takes so many for itself (`take_cores`); None to let the system move them about.
    """

    def __init__(
        self, make: Make, size: int, begin: Callable[[], None] | None = None, cores: int | None = None
    ) -> None:
        super().__init__()
        self._made_by = (make, begin, cores)
        self._context = start_context()
        with self._closed_on_failure():
            for _ in range(size):
                self._start()

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
                answers += self._gone(one)
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
        process = self._context.Process(target=_work, args=(there, *self._made_by), daemon=True)
        with interrupts_held_back():
            process.start()
        there.close()
        self._all.append(_Process(process, here))

    def _heard(self, one: _Process, what: str, value: Any) -> Iterator[Answer]:
        job = one.job
        if what == "ready":
            self._has_begun(one)
            self.described = value
        elif what == "refused":
            raise value
        elif job is not None:
            one.job = None
            yield (job, value) if what == "done" else Lost(job, value)

    def _gone(self, one: _Process) -> Iterator[Answer]:
        one.process.join(ENDS_S)
        one.pipe.close()
        return self._ended(one, _why(one.process.exitcode))

    def _hopeless(self, reason: str) -> MDHRError:
        return MDHRError(f"worker processes end before they are ready ({reason}); give fewer --jobs, or free memory")


class _Process(Member):
    """A process, and the pipe to it."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        super().__init__()
        self.process, self.pipe = process, pipe


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else f"signal {-code}"
        return f"was killed by {name}" + (" (out of memory?)" if code == -9 else "")
    return f"ended with exit code {code}"


def _work(pipe: Connection, make: Make, begin: Callable[[], None] | None, cores: int | None) -> None:
    """The life of a worker."""
    if cores is not None:
        take_cores(cores)
    follow_parent()
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
