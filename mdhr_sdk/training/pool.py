"""Jobs in several processes, which end with the process that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from ..children import follow_parent, interrupts_held_back
from ..errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")
PERIOD_S = 0.2
KILLED = (
    "a worker process was killed (out of memory?); run the same command again, perhaps with fewer --workers: what is "
    "done stays done"
)

_own: dict[str, Any] = {}  # of this process


class _StoppedError(Exception):
    """The main process has stopped."""


def spread(
    make: Callable[[], Callable[[Job], Result]],
    jobs: Sequence[Job],
    workers: int,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Job, Result]]:
    """Yield each job with its result as soon as it is done; an error of a job is raised here.

    Args:
        make: makes the worker object, once per process; its `close` is called if the jobs are done in this process.
            Picklable, and may hold values in shared memory. Long jobs call `check_stopped` now and then.
        jobs: what is to be done; picklable.
        workers: processes; 1 works in this one.
        tick: called a few times a second, or in this process with each `check_stopped`.
    """
    if not jobs:
        return
    if workers == 1 or len(jobs) == 1:
        yield from _here(make, jobs, tick)
        return
    context = multiprocessing.get_context("spawn")  # MediaPipe's threads do not survive a fork
    stop = context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (make, stop))
    try:
        with interrupts_held_back():
            pending = {pool.submit(_run, job): job for job in jobs}
        while pending:
            done, _ = wait(pending, PERIOD_S, FIRST_COMPLETED)
            tick()
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool:
        raise DataError(KILLED) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def check_stopped() -> None:
    """Stop this worker's job if the main process has stopped; without workers, call `tick`."""
    if "stop" in _own and _own["stop"].is_set():
        raise _StoppedError
    if "tick" in _own:
        _own["tick"]()


def _here(make: Callable[[], Any], jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[tuple[Job, Any]]:
    with contextlib.closing(make()) as work:
        _own["tick"] = tick
        try:
            yield from ((job, work(job)) for job in jobs)
        finally:
            del _own["tick"]


def _start(make: Callable[[], Any], stop: Any) -> None:
    # Nothing here may fail: the pool would not say how. What can fail is made with the first job.
    follow_parent()
    cv2.setNumThreads(1)
    _own.update(make=make, stop=stop)


def _run(job: Any) -> Any:
    check_stopped()
    if "work" not in _own:
        _own["work"] = _own["make"]()
    return _own["work"](job)
