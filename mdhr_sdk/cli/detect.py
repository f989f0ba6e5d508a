"""What `mdhr detect` does with each source: results into files, progress and a summary onto the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..batch.listing import jobs_of, once
from ..batch.options import DetectOptions
from ..batch.outcome import Outcome
from ..batch.writer import SourceWriter
from ..detector import AUDetector
from ..errors import ConfigError, MDHRError
from ..modelfolder.bundled import DEFAULT
from ..outputs.files import MEASURED, Files
from ..outputs.naming import OVERLAY, bases, labels
from ..outputs.pictures.encoder import check_codec
from ..pipeline.clock import StageClock
from ..pipeline.modes import Reading
from ..pipeline.run import in_turn, scoped
from ..pipeline.scores.decide import check_quality
from ..pipeline.tuned import tuned_process
from ..vision import Source, list_sources
from .parts import shared
from .parts.interrupt import Interrupt
from .parts.logs import LogLevel, set_log_level
from .parts.many import run_many, threads_each, worker_count
from .parts.options import BAD_INPUT, Console, TrustCode, command_app, complain, say, trust
from .parts.out import check_out, named_folder, roots
from .parts.progress import progress_bar, usable_cores
from .parts.scope import read_scope
from .parts.summary import report
from .parts.times import read_time

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from typing_extensions import Unpack

app = command_app()


def model_threads(sources: Sequence[Source], bundled: bool) -> int | None:
    """CPU threads of the model if none were asked for; None for the backend's choice.

    For video files on two cores the bundled model gets one thread and finding faces the other: an eighth less time and
    work. A model that takes longer than finding faces is faster with both.
    """
    return 1 if bundled and usable_cores() == 2 and all(source.kind == "video" for source in sources) else None


def run_detect(
    detector: AUDetector,
    sources: Sequence[Source],
    out: Path,
    files: Files,
    below: Sequence[Path] = (),
    quiet: bool = False,
    **reading: Unpack[Reading],
) -> list[MDHRError]:
    """Read files one after the other and live sources at once, as `AUDetector.predict`; returns the errors.

    A source or an output that fails does not end the others. The timeline of a camera or live stream shows its last
    100,000 frames; the tables and the overlay have all.

    Args:
        below: folders whose sources keep their subfolders in `out`.
        quiet: neither progress nor a summary.

    Raises:
        OutputError: overlays cannot be encoded here.
        KeyboardInterrupt: the user stopped a file halfway; what was done by then is written and announced.
    """
    if files.overlay:
        check_codec(Path(OVERLAY), files.codec)
    reading["images"] = files.overlay
    console, outcomes = Console(markup=False, emoji=False), list[Outcome]()
    progress, interrupt = progress_bar(quiet), Interrupt()
    with progress, tuned_process(), interrupt.held():
        stems = bases([(source.name, source.kind) for source in sources], below)
        names = labels([source.name for source in sources])
        writers = {
            source: SourceWriter(detector.thresholds, Outcome(source, label), out / stem, files)
            for source, stem, label in zip(sources, stems, names, strict=True)
        }
        for group in in_turn(sources):
            outcomes += _process(detector, [writers.pop(source) for source in group], reading, progress, interrupt)
            if interrupt.asked or outcomes[-1].interrupted:
                break
    if any(outcome.frames for outcome in outcomes) and not quiet:
        report(console, detector, outcomes)
    if (interrupt.asked and writers) or not all(outcome.complete or outcome.error for outcome in outcomes):
        raise KeyboardInterrupt
    return [error for outcome in outcomes for error in (outcome.error, *outcome.failures) if error is not None]


def read_sources(
    options: DetectOptions,
    sources: Sequence[Source],
    out: Path,
    below: Sequence[Path],
    jobs: int | None,
    resume: bool,
    quiet: bool,
    level: LogLevel | None,
) -> list[MDHRError]:
    """Read all sources, by worker processes if there are many files; returns the errors. Raises as `run_detect`."""
    workers = worker_count(jobs, resume, sources, options.device)
    if workers:
        alone = model_threads(sources, options.model == DEFAULT)
        each = options.with_threads(alone if workers == 1 else threads_each(workers))
        return run_many(jobs_of(sources, below), each, str(out), workers, resume, quiet, level)
    with options.with_threads(model_threads(sources, options.model == DEFAULT)).open() as detector:
        return run_detect(detector, sources, out, options.files, below, quiet, **options.reading)


def _process(
    detector: AUDetector,
    writers: Sequence[SourceWriter],
    reading: Reading,
    progress: Progress,
    interrupt: Interrupt,
) -> list[Outcome]:
    """Read one file, or several live sources at once."""
    outcomes = [writer.outcome for writer in writers]
    tasks = {one.source.name: progress.add_task(one.label, total=None) for one in outcomes}
    clock = StageClock()
    with clock("total"):
        with ExitStack() as stack:
            for writer in writers:
                stack.callback(writer.close)
            try:
                _read(detector, writers, reading, clock, progress, tasks, interrupt)
            except KeyboardInterrupt:
                for outcome in outcomes:
                    outcome.interrupted = True
            except MDHRError as error:
                for outcome in outcomes:
                    # A traceback would keep the frames in memory.
                    outcome.error = outcome.error or error.with_traceback(None)
            for writer in writers:
                writer.outcome.read = not writer.given_up
        with clock("timeline"):
            for writer in writers:
                writer.draw()
    spent, frames = {**detector.timings_s, **clock.seconds}, max(1, sum(outcome.frames for outcome in outcomes))
    for outcome in outcomes:
        share = outcome.frames / frames if len(outcomes) > 1 else 1.0
        outcome.total_s = spent["total"]
        outcome.timings_s = {stage: share * seconds for stage, seconds in spent.items() if stage != "total"}
        progress.remove_task(tasks[outcome.source.name])
        outcome.tell_kept()
    return outcomes


def _read(
    detector: AUDetector,
    writers: Sequence[SourceWriter],
    reading: Reading,
    clock: StageClock,
    progress: Progress,
    tasks: Mapping[str, TaskID],
    interrupt: Interrupt,
) -> None:
    """Give every result to its writer, until all sources have ended or nothing can be written."""
    named = {writer.outcome.source.name: writer for writer in writers}
    sources = [writer.outcome.source for writer in writers]
    alone = len(sources) == 1
    if not alone:
        reading = {**reading, "on_error": "skip"}
    results = detector.predict(sources[0] if alone else sources, stream=True, **reading)
    try:
        with interrupt.ends(results.finish):
            for result in results:
                writer, task = named[result.source], tasks[result.source]
                with clock("write"):
                    if not writer.outcome.frames:
                        progress.update(task, total=writer.outcome.source.info.frame_count)
                    writer.write(result)
                progress.advance(task)
                if all(one.given_up for one in writers):
                    break
    finally:
        ended = results.status
        for name, writer in named.items():
            writer.outcome.interrupted = interrupt.asked and not ended[name].ended
        if not alone:
            for name, error in results.errors:
                named[name].outcome.error = error.with_traceback(None)


@app.command()
def detect(
    source: Annotated[list[str], typer.Argument(help="Videos, images, folders, globs, camera numbers or URLs.")],
    model: shared.Model = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.", parser=named_folder)] = Path("mdhr-output"),
    backend: shared.Backend = "auto",
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    threads: shared.Threads = None,
    fps: Annotated[
        Optional[float], typer.Option(help="Frames per second of an image sequence; 25 if not given.")
    ] = None,
    sequence: Annotated[
        Optional[bool],
        typer.Option("--sequence/--stills", help="Images of a folder: frames of one video, or unrelated stills."),
    ] = None,
    max_faces: shared.MaxFaces = 10,
    face_model: shared.FaceModel = None,
    faces: shared.Faces = "auto",
    mode: shared.Mode = "clip",
    lookahead: shared.Lookahead = None,
    ring_dtype: Annotated[
        Optional[str],
        typer.Option(
            help="Stream mode: how a face's last frames are kept: float32, or float16 or bfloat16, half as big."
        ),
    ] = None,
    overlay: shared.Overlay = True,
    codec: shared.Codec = "h264",
    timeline: shared.Timeline = True,
    calibrate_neutral: shared.CalibrateNeutral = None,
    smooth: shared.Smooth = None,
    format: shared.Format = "native",
    measures: shared.Measures = False,
    min_quality: shared.MinQuality = 0.0,
    all_aus: shared.AllAus = False,
    digest: shared.Digest = None,
    trust_code: TrustCode = False,
    start: shared.Start = None,
    end: shared.End = None,
    every: shared.Every = None,
    sample_fps: shared.SampleFps = None,
    region: shared.Region = None,
    person: shared.Person = None,
    jobs: Annotated[
        Optional[int], typer.Option(min=1, help="Worker processes; from 8 files on as many as cores, if not given.")
    ] = None,
    resume: shared.Resume = False,
    quiet: shared.Quiet = False,
    log_level: shared.Level = None,
) -> None:
    """Read videos or images into tables, timelines and overlays.

    Clip mode scores windows of T frames, as in the paper. Stream mode scores each frame in the window that ends
    LOOKAHEAD frames after it: less delay for cameras, and no frame at a window's edge.
    """
    set_log_level(log_level)
    if ring_dtype is not None and mode == "clip":
        raise ConfigError(f"--ring-dtype belongs to --mode stream; got {ring_dtype} in clip mode")
    formats = tuple(one.strip() for one in format.split(","))
    measures = measures or check_quality(min_quality) > 0 or not {*MEASURED}.isdisjoint(formats)
    files = Files(overlay, codec, timeline, formats, measures)
    given = source if len(source) > 1 else source[0]  # a missing one of several does not end the others
    sources = once(list_sources(given, fps=fps, sequence=sequence, on_error="skip"))
    check_out(source, out)
    options = DetectOptions(
        model=model or DEFAULT,
        backend=backend,
        device=device,
        precision=precision,
        threads=threads,
        mode=mode,
        max_faces=max_faces,
        face_model=face_model,
        faces=faces,
        all_aus=all_aus,
        ring_dtype=ring_dtype or "float32",
        digest=digest,
        trust=trust(trust_code),
        smoothing=smooth,
        lookahead=lookahead,
        calibrate_neutral_s=None if calibrate_neutral is None else read_time("--calibrate-neutral", calibrate_neutral),
        fps=fps,
        scope=read_scope(start, end, every, sample_fps, region, person),
        min_quality=min_quality,
        files=files,
    )
    if model is None and not quiet:
        say(f"no --model given: taking '{DEFAULT}', which comes with mdhr_sdk")
    failed = read_sources(options, scoped(sources, options.scope), out, roots(source), jobs, resume, quiet, log_level)
    for error in failed:
        complain(error)
    if failed:
        raise typer.Exit(BAD_INPUT)
