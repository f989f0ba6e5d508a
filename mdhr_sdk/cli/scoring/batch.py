"""What `mdhr batch` does: many files by worker processes, here or on a Ray cluster, from and to any file system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from ...batch.crews.cluster import Ray, Share
from ...batch.crews.processes import Processes
from ...batch.listing import jobs_of_list, read_list
from ...batch.options import DetectOptions
from ...batch.parts import check_split
from ...batch.worker import Worker
from ...errors import ConfigError
from ...modelfolder.bundled import DEFAULT
from ..parts import shared
from ..parts.expanded import expanded
from ..parts.interrupt import ends_at_once
from ..parts.logs import set_log_level
from ..parts.many import MOST_JOBS, asked_jobs, automatic_jobs, cores_each, run_crew, threads_each
from ..parts.options import BAD_INPUT, MODEL, command_app, complain

app = command_app()


@dataclass(frozen=True)
class Arguments:
    """The options of `mdhr batch`."""

    files: Annotated[str, typer.Argument(metavar="LIST", help="A text with a path or URL on each line.")]
    out: Annotated[str, typer.Option(help="Folder or URL for the results.")]
    ray: Annotated[
        Optional[str], typer.Option(help="Work on a Ray cluster: auto, HOST:PORT, or local to start one here.")
    ] = None
    jobs: Annotated[Optional[int], typer.Option(min=1, help="Workers; as many as there is room for.")] = None
    cores: Annotated[int, typer.Option(min=1, help="With --ray: cores a worker.")] = 1
    gpus: Annotated[float, typer.Option(min=0, help="With --ray: GPUs a worker; 0.5 for two workers on each.")] = 0
    split: Annotated[
        Optional[float],
        typer.Option(help="Read longer videos in parts of about so many minutes, from cut to cut; see docs/batch.md."),
    ] = None
    root: Annotated[
        Optional[str],
        typer.Option(
            help="Results keep the folders below this folder or URL; below the one that holds all, if not given."
        ),
    ] = None
    resume: shared.Resume = False
    model: Annotated[str, typer.Option(help=f"{MODEL}.")] = DEFAULT
    where: shared.Where = field(default_factory=shared.Where)
    mode: shared.Mode = "clip"
    lookahead: shared.Lookahead = None
    max_faces: shared.MaxFaces = 10
    faces: shared.Faces = "auto"
    drawn: shared.Drawn = field(default_factory=shared.Drawn)
    tables: shared.Tables = field(default_factory=shared.Tables)
    smooth: shared.Smooth = None
    trusted: shared.Trusted = field(default_factory=shared.Trusted)
    part: shared.Part = field(default_factory=shared.Part)
    quiet: shared.Quiet = False
    log_level: shared.Level = None

    def options(self) -> DetectOptions:
        """Those that results depend on; ConfigError where one cannot be read."""
        return DetectOptions(
            model=self.model if self.model == DEFAULT else str(Path(self.model).absolute()),
            **vars(self.where),
            mode=self.mode,
            lookahead=self.lookahead,
            max_faces=self.max_faces,
            faces=self.faces,
            all_aus=self.trusted.all_aus,
            digest=self.trusted.digest,
            trust=self.trusted.trust,
            smoothing=self.smooth,
            scope=self.part.scope(),
            min_quality=self.tables.min_quality,
            files=self.tables.files(self.drawn),
        )


@app.command()
@expanded
def batch(given: Arguments) -> None:
    """Read the files of a list by many workers, here or on a Ray cluster.

    The results are those of mdhr detect. Each file has its results once and whole; a file whose worker is killed is
    done again, and --resume goes on where a run was stopped. Sources and results may be paths or URLs, as s3://...
    """
    set_log_level(given.log_level)
    for option, place in (("--out", given.out), ("--root", given.root)):
        if place is not None and not place.strip():
            raise ConfigError(f"{option} expects a folder or URL; got an empty text")
    if given.ray is None and (given.cores != 1 or given.gpus):
        raise ConfigError("--cores and --gpus belong to --ray; without it give --jobs")
    options = given.options()
    if given.split is not None:
        check_split(given.split, given.mode, options.files, options.scope, options.min_quality)
    with ends_at_once():
        todo = jobs_of_list(read_list(given.files), options.scope, given.root)
    open_crew = _cluster(given, options) if given.ray is not None else _processes(given, options, len(todo))
    failed = run_crew(todo, open_crew, options, given.out, given.quiet, given.split, "mdhr batch")
    for error in failed:
        complain(error)
    if failed:
        raise typer.Exit(BAD_INPUT)


def _cluster(given: Arguments, options: DetectOptions) -> Callable[[], Ray]:
    make = partial(Worker, options.with_threads(given.cores), given.out, given.resume)
    return lambda: Ray(make, given.ray or "auto", Share(given.cores, given.gpus), given.jobs)


def _processes(given: Arguments, options: DetectOptions, files: int) -> Callable[[], Processes]:
    files = files if given.split is None else max(files, 2 * MOST_JOBS, given.jobs or 0)  # parts are not known yet
    count = asked_jobs(given.jobs, files) if given.jobs else min(files, automatic_jobs(files))
    make = partial(Worker, options.with_threads(threads_each(count)), given.out, given.resume)
    begin, own = partial(set_log_level, given.log_level), cores_each(count, given.where.device)
    return lambda: Processes(make, count, begin, own)
