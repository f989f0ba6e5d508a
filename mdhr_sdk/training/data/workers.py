"""Videos cut in parallel."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...errors import MDHRError
from ..pool import check_stopped, spread
from .cut_videos import CropJob, Mesher, cut_video

MakeMesher = Callable[[], Mesher]
Outcome = tuple[CropJob, dict[int, str] | str]

_own: dict[str, Mesher] = {}  # of a worker process


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
    frames = multiprocessing.get_context("spawn").Value("q", 0)
    yield from spread(_work, jobs, workers, (make_mesher, frames), lambda: progress(frames.value))


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


def _work(job: CropJob, make_mesher: MakeMesher, frames: Any) -> dict[int, str] | str:
    if "mesher" not in _own:
        _own["mesher"] = make_mesher()
    return _cut(job, _own["mesher"], functools.partial(_tick, frames))


def _tick(frames: Any) -> None:
    with frames.get_lock():
        frames.value += 1
    check_stopped()
