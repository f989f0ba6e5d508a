"""Many files at once: progress, the summary and its file. `mdhr detect --jobs` and `mdhr batch` share it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from ...batch.crews.crew import Crew
from ...batch.crews.processes import Processes
from ...batch.options import DetectOptions
from ...batch.outcome import Outcome
from ...batch.places import Place, destination, public_url
from ...batch.splitting import run_split
from ...batch.study import run_study
from ...batch.totals import SUMMARY, Totals, duration
from ...batch.worker import Job, Worker
from ...children import usable_cores
from ...errors import ConfigError, MDHRError, number_of
from ...outputs.naming import OVERLAY
from ...outputs.pictures.encoder import check_codec
from ...pipeline.reader import LIVE
from ...runtime.cuda.devices import cuda_device_count
from ...vision import Source
from .interrupt import Interrupt
from .logs import LogLevel, set_log_level
from .options import Console
from .progress import progress_bar
from .summary import report

MANY = 8  # files from which on workers are worth their start
MOST_JOBS = 8  # if nobody says: each takes half a gigabyte of memory
log = logging.getLogger("mdhr_sdk")
LINE_S = 10.0  # between two lines of progress, where no bar can be drawn


def worker_count(asked: int | None, resume: bool, sources: Sequence[Source], device: str) -> int:
    """How many worker processes read the files; 0 for none, and one source after the other in this process.

    Raises:
        ConfigError: workers were asked for, and a source is live.
    """
    live = next((source for source in sources if source.kind in LIVE), None)
    if asked is not None or resume:
        if live is not None:
            raise ConfigError(f"--jobs and --resume are for files, and '{live.name}' is live; leave them out")
        return asked_jobs(asked, len(sources)) if asked else automatic_jobs(len(sources))
    on_gpu = device.startswith("cuda") or (device == "auto" and cuda_device_count() > 0)  # which they would share
    return 0 if live is not None or on_gpu or len(sources) < MANY else automatic_jobs(len(sources))


def automatic_jobs(files: int) -> int:
    """As many workers as cores, but not more than eight, and each with some files to read."""
    return max(1, min(usable_cores(), MOST_JOBS, files // 2))


def asked_jobs(asked: int, files: int) -> int:
    """As many workers as somebody asked for, or as there are files, with a warning where cores are fewer."""
    count = min(asked, files)
    if count > usable_cores():
        cores = number_of(usable_cores(), "core")
        log.warning("%d workers on %s: each takes half a gigabyte of memory, and the work gets no faster", count, cores)
    return count


def threads_each(jobs: int) -> int:
    """CPU threads of the model in each of so many workers of this machine."""
    return max(1, usable_cores() // jobs)


def cores_each(jobs: int, device: str) -> int | None:
    """Cores that each of so many workers of this machine takes for itself; None where that leaves some idle.

    Beside a GPU a worker that waits for it leaves its core to others.
    """
    whole = jobs > 1 and jobs * threads_each(jobs) == usable_cores()
    return threads_each(jobs) if whole and (device == "cpu" or cuda_device_count() == 0) else None


def run_many(
    jobs: Sequence[Job],
    options: DetectOptions,
    out: str,
    workers: int,
    resume: bool = False,
    quiet: bool = False,
    level: LogLevel | None = None,
) -> list[MDHRError]:
    """Share the jobs out among processes of this machine; returns the errors of those that failed.

    Raises:
        KeyboardInterrupt: the user stopped it. What is done stays done.
        MDHRError: workers cannot begin.
    """
    make = partial(Worker, options, out, resume)
    begin, cores = partial(set_log_level, level), cores_each(workers, options.device)
    return run_crew(jobs, lambda: Processes(make, workers, begin, cores), options, out, quiet)


def run_crew(
    jobs: Sequence[Job],
    open_crew: Callable[[], Crew],
    options: DetectOptions,
    out: str,
    quiet: bool = False,
    split: float | None = None,
    title: str = "mdhr detect",
) -> list[MDHRError]:
    """As `run_many`, by any crew; with `split` videos that are longer in parts of about so many minutes.

    Args:
        title: of the table in the end.
    """
    place, totals = destination(out), Totals(len(jobs), sum(job.size_bytes for job in jobs))
    with closing(open_crew()) as crew:
        if options.files.overlay:  # beside the workers' start: it takes a fifth of a second
            check_codec(Path(OVERLAY), options.files.codec)
        try:
            with _progress(totals, quiet) as tick:

                def tell(job: Job, outcome: Outcome) -> None:
                    if not totals.told:  # before hours of work: whether it can be written
                        place.write(SUMMARY, totals.text(crew.described))
                    totals.add(job, outcome)
                    tick()

                if split is None:
                    run_study(jobs, crew, tell, tick)
                else:
                    run_split(jobs, split, crew, place, tell, tick)
        except MDHRError:  # no worker could begin, or nothing can be written: the error says it all
            quiet = True
            raise
        finally:
            with Interrupt().held():  # a signal that is sent to a process and to its group comes twice
                crew.close()
                place.tidy(job.base.rpartition("/")[0] for job in jobs)
                _conclude(place, public_url(out), totals, crew, None if quiet else title)
    errors = [error for one in totals.shown for error in (one.error, *one.failures) if error is not None]
    unsaid = totals.states["failed"] - sum(one.state == "failed" for one in totals.shown)
    if unsaid:
        errors.append(MDHRError(f"and {number_of(unsaid, 'file')} more failed; {SUMMARY} has their reasons"))
    return errors


def _conclude(place: Place, out: str, totals: Totals, crew: Crew, title: str | None) -> None:
    """Write `summary.json`, and say what there is to say; nothing without a title."""
    if totals.told or crew.described is not None:
        place.write(SUMMARY, totals.text(crew.described))
    if title is None:
        return
    console = Console(markup=False, emoji=False)
    if totals.shown and crew.described is not None:
        shown = sorted(totals.shown, key=lambda outcome: outcome.source.name)
        report(console, crew.described, shown, files=False, title=title)
    rest = totals.told - totals.states["skipped"] - len(totals.shown)
    lines = [f"and {number_of(rest, 'file')} more"] if rest else []
    lines += [f"{totals.line}, in {duration(totals.seconds)}", f"results are in {out}; {SUMMARY} there lists all files"]
    if totals.stale:
        files = number_of(totals.stale, "file")
        lines.append(
            f"beside the results of {files} some of an earlier run with other options are left; {SUMMARY} names them"
        )
    if totals.told < totals.jobs:
        lines.append(f"stopped: {number_of(totals.jobs - totals.told, 'file')} not read; go on with --resume")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


@contextmanager
def _progress(totals: Totals, quiet: bool) -> Iterator[Callable[[], None]]:
    """What is called now and then: it moves a bar, or says a line every ten seconds where there is no terminal."""
    console, bar = Console(stderr=True, markup=False, emoji=False), progress_bar(quiet)
    last_s = [time.monotonic()]
    with bar:
        task = bar.add_task("files", total=totals.jobs)

        def tick() -> None:
            bar.update(task, completed=totals.told, description=totals.line)
            if bar.disable and not quiet and time.monotonic() - last_s[0] >= LINE_S:
                last_s[0] = time.monotonic()
                console.print(totals.line, soft_wrap=True, highlight=False)

        yield tick
