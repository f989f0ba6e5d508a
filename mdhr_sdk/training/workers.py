"""Videos cut in parallel, by processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2

from ..errors import DataError, MDHRError
from .crops import CropJob, Mesher, cut_video

MakeMesher = Callable[[], Mesher]
Outcome = tuple[CropJob, dict[int, str] | str]
PERIOD_S = 0.2
KILLED = (
    "a worker process was killed (out of memory?); run the same command again, perhaps with fewer --workers: what is "
    "done stays done"
)

_own: dict[str, Any] = {}  # of a worker process: its mesher, and what it shares with the others


class _StoppedError(Exception):
    """The main process wants no more."""


def cut_all(
    jobs: Sequence[CropJob], make_mesher: MakeMesher, workers: int, progress: Callable[[int], None]
) -> Iterator[Outcome]:
    """Cut every video; yields each with its left-out frames, or with what went wrong, as they become done.

    Args:
        jobs: the videos.
        make_mesher: makes the face finder of a process; picklable.
        workers: processes; 1 works in this one.
        progress: called now and then with the number of frames done.

    Raises:
        DataError: a worker was killed.
    """
    if workers == 1 or len(jobs) < 2:
        yield from _cut_here(jobs, make_mesher, progress)
        return
    context = multiprocessing.get_context("spawn")  # MediaPipe's threads do not survive a fork
    frames, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (make_mesher, frames, stop))
    try:
        pending = {pool.submit(_work, job): job for job in jobs}
        while pending:
            done, _ = wait(pending, PERIOD_S, FIRST_COMPLETED)
            progress(frames.value)
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool:
        raise DataError(KILLED) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _cut_here(jobs: Sequence[CropJob], make_mesher: MakeMesher, progress: Callable[[int], None]) -> Iterator[Outcome]:
    if not jobs:
        return
    mesher, frames = make_mesher(), 0

    def tick() -> None:
        nonlocal frames
        frames += 1
        progress(frames)

    try:
        for job in jobs:
            yield job, _cut(job, mesher, tick)
    finally:
        mesher.close()


def _cut(job: CropJob, mesher: Mesher, tick: Callable[[], None]) -> dict[int, str] | str:
    try:
        return cut_video(job, mesher, tick)
    except MDHRError as error:
        return str(error)


def _start(make_mesher: MakeMesher, frames: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the main one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _own.update(mesher=make_mesher(), frames=frames, stop=stop)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: CropJob) -> dict[int, str] | str:
    try:
        return _cut(job, _own["mesher"], _tick)
    except _StoppedError:
        return "stopped"


def _tick() -> None:
    with _own["frames"].get_lock():
        _own["frames"].value += 1
    if _own["stop"].is_set():
        raise _StoppedError
