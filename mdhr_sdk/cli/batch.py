"""What `mdhr batch` does: many files by worker processes, here or on a Ray cluster, from and to any file system."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..batch.cluster import Ray, Share
from ..batch.listing import jobs_of_list, read_list
from ..batch.options import DetectOptions
from ..batch.processes import Processes
from ..batch.worker import Worker
from ..errors import ConfigError
from ..modelfolder.bundled import DEFAULT
from ..outputs.files import FORMATS, MEASURED, Files
from ..pipeline.decide import check_quality
from ..pipeline.modes import Mode
from .parts.logs import LogLevel, set_log_level
from .parts.many import RESUME, automatic_jobs, run_crew, threads_each
from .parts.options import BAD_INPUT, MODEL, TRUST, command_app, complain, trust
from .parts.scope import END, EVERY, PERSON, REGION, SAMPLE_FPS, START, read_scope

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
    resume: Annotated[bool, typer.Option("--resume", help=RESUME)] = False,
    model: Annotated[str, typer.Option(help=f"{MODEL}.")] = DEFAULT,
    backend: Annotated[str, typer.Option(help="auto, or a backend of docs/backends.md.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, bf16 or int8.")] = "auto",
    mode: Annotated[Mode, typer.Option(help="Windows of T frames as in the paper, or frame by frame.")] = "clip",
    lookahead: Annotated[Optional[int], typer.Option(help="Stream mode: score a frame this many frames later.")] = None,
    max_faces: Annotated[int, typer.Option(help="Most faces per frame.")] = 10,
    faces: Annotated[str, typer.Option(help="What finds faces; see docs/faces.md.")] = "auto",
    overlay: Annotated[bool, typer.Option(help="Write the annotated video or image.")] = True,
    codec: Annotated[str, typer.Option(help="Codec of the annotated video: h264, vp9 or av1.")] = "h264",
    timeline: Annotated[bool, typer.Option(help="Draw the scores over time.")] = True,
    format: Annotated[
        str, typer.Option(help=f"Tables to write, separated by commas: {', '.join(FORMATS)}.")
    ] = "native",
    measures: Annotated[bool, typer.Option("--measures", help="Measure head pose, gaze and quality too.")] = False,
    min_quality: Annotated[float, typer.Option(help="Leave out faces of less quality, 0 to 1.")] = 0.0,
    smooth: Annotated[Optional[float], typer.Option(help="Smooth the scores: cutoff in Hz.")] = None,
    all_aus: Annotated[bool, typer.Option("--all-aus", help="Report AUs of reliability tier C too.")] = False,
    digest: Annotated[Optional[str], typer.Option(help="Take only the model folder of this digest.")] = None,
    trust_code: Annotated[bool, typer.Option("--trust-code", help=TRUST)] = False,
    start: Annotated[Optional[str], typer.Option(help=START)] = None,
    end: Annotated[Optional[str], typer.Option(help=END)] = None,
    every: Annotated[Optional[int], typer.Option(help=EVERY)] = None,
    sample_fps: Annotated[Optional[float], typer.Option(help=SAMPLE_FPS)] = None,
    region: Annotated[Optional[str], typer.Option(help=REGION)] = None,
    person: Annotated[Optional[str], typer.Option(help=PERSON)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but warnings and errors.")] = False,
    log_level: Annotated[Optional[LogLevel], typer.Option(help="Show the log from this level on.")] = None,
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
    todo = jobs_of_list(read_list(files), options.scope)
    if ray is not None:
        make = partial(Worker, options.with_threads(cores), out, resume)
        failed = run_crew(todo, lambda: Ray(make, ray, Share(cores, gpus), jobs), options, out, quiet)
    else:
        count = min(jobs or automatic_jobs(len(todo)), len(todo))
        make = partial(Worker, options.with_threads(threads_each(count)), out, resume)
        begin = partial(set_log_level, log_level)
        failed = run_crew(todo, lambda: Processes(make, count, begin), options, out, quiet)
    for error in failed:
        complain(error)
    if failed:
        raise typer.Exit(BAD_INPUT)
