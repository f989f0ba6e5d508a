"""What `mdhr batch` does: many files by worker processes, here or on a Ray cluster, from and to any file system."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..batch.crews.cluster import Ray, Share
from ..batch.crews.processes import Processes
from ..batch.listing import jobs_of_list, read_list
from ..batch.options import DetectOptions
from ..batch.parts import check_split
from ..batch.worker import Worker
from ..errors import ConfigError
from ..modelfolder.bundled import DEFAULT
from ..outputs.files import MEASURED, Files
from ..pipeline.scores.decide import check_quality
from .parts import shared
from .parts.logs import set_log_level
from .parts.many import MOST_JOBS, automatic_jobs, cores_each, run_crew, threads_each
from .parts.options import BAD_INPUT, MODEL, TrustCode, command_app, complain, trust
from .parts.scope import read_scope

app = command_app()


@app.command()
def batch(
    files: Annotated[str, typer.Argument(metavar="LIST", help="A text with a path or URL on each line.")],
    out: Annotated[str, typer.Option(help="Folder or URL for the results.")],
    ray: Annotated[
        Optional[str], typer.Option(help="Work on a Ray cluster: auto, HOST:PORT, or local to start one here.")
    ] = None,
    jobs: Annotated[Optional[int], typer.Option(min=1, help="Workers; as many as there is room for.")] = None,
    cores: Annotated[int, typer.Option(min=1, help="With --ray: cores a worker.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="With --ray: GPUs a worker; 0.5 for two workers on each.")] = 0,
    split: Annotated[
        Optional[float],
        typer.Option(help="Read longer videos in parts of about so many minutes, from cut to cut; see docs/batch.md."),
    ] = None,
    root: Annotated[
        Optional[str],
        typer.Option(
            help="Results keep the folders below this folder or URL; below the one that holds all, if not given."
        ),
    ] = None,
    resume: shared.Resume = False,
    model: Annotated[str, typer.Option(help=f"{MODEL}.")] = DEFAULT,
    backend: shared.Backend = "auto",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    mode: shared.Mode = "clip",
    lookahead: shared.Lookahead = None,
    max_faces: shared.MaxFaces = 10,
    faces: shared.Faces = "auto",
    overlay: shared.Overlay = True,
    codec: shared.Codec = "h264",
    timeline: shared.Timeline = True,
    format: shared.Format = "native",
    measures: shared.Measures = False,
    min_quality: shared.MinQuality = 0.0,
    smooth: shared.Smooth = None,
    all_aus: shared.AllAus = False,
    digest: shared.Digest = None,
    trust_code: TrustCode = False,
    start: shared.Start = None,
    end: shared.End = None,
    every: shared.Every = None,
    sample_fps: shared.SampleFps = None,
    region: shared.Region = None,
    person: shared.Person = None,
    quiet: shared.Quiet = False,
    log_level: shared.Level = None,
) -> None:
    """Read the files of a list by many workers, here or on a Ray cluster.

    The results are those of mdhr detect. Each file has its results once and whole; a file whose worker is killed is
    done again, and --resume goes on where a run was stopped. Sources and results may be paths or URLs, as s3://...
    """
    set_log_level(log_level)
    if not out.strip():
        raise ConfigError("--out expects a folder or URL; got an empty text")
    if ray is None and (cores != 1 or gpus):
        raise ConfigError("--cores and --gpus belong to --ray; without it give --jobs")
    formats = tuple(one.strip() for one in format.split(","))
    measures = measures or check_quality(min_quality) > 0 or not {*MEASURED}.isdisjoint(formats)
    options = DetectOptions(
        model=model if model == DEFAULT else str(Path(model).absolute()),
        backend=backend,
        device=device,
        precision=precision,
        mode=mode,
        lookahead=lookahead,
        max_faces=max_faces,
        faces=faces,
        all_aus=all_aus,
        digest=digest,
        trust=trust(trust_code),
        smoothing=smooth,
        scope=read_scope(start, end, every, sample_fps, region, person),
        min_quality=min_quality,
        files=Files(overlay, codec, timeline, formats, measures),
    )
    if split is not None:
        check_split(split, mode, options.files, options.scope, min_quality)
    todo = jobs_of_list(read_list(files), options.scope, root)
    if ray is not None:
        make = partial(Worker, options.with_threads(cores), out, resume)
        failed = run_crew(todo, lambda: Ray(make, ray, Share(cores, gpus), jobs), options, out, quiet, split)
    else:
        count = jobs or automatic_jobs(len(todo) if split is None else 2 * MOST_JOBS)  # parts are not known yet
        count = min(count, len(todo)) if split is None else count
        make = partial(Worker, options.with_threads(threads_each(count)), out, resume)
        begin = partial(set_log_level, log_level)
        own = cores_each(count, device)
        failed = run_crew(todo, lambda: Processes(make, count, begin, own), options, out, quiet, split)
    for error in failed:
        complain(error)
    if failed:
        raise typer.Exit(BAD_INPUT)
