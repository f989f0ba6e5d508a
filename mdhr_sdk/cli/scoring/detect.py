"""What `mdhr detect` does with each source: results into files, progress and a summary onto the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ...batch.listing import jobs_of, once
from ...batch.options import DetectOptions
from ...batch.outcome import Outcome
from ...batch.writer import SourceWriter
from ...children import usable_cores
from ...detector import AUDetector
from ...errors import ConfigError, MDHRError
from ...modelfolder.bundled import DEFAULT
from ...outputs.files import Files
from ...outputs.naming import OVERLAY, bases, labels
from ...outputs.pictures.encoder import check_codec
from ...pipeline.clock import StageClock
from ...pipeline.modes import Reading
from ...pipeline.run import in_turn, scoped
from ...pipeline.tuned import tuned_process
from ...vision import Source, list_sources
from ..parts import shared
from ..parts.expanded import expanded
from ..parts.interrupt import Interrupt, ends_at_once
from ..parts.logs import LogLevel, set_log_level
from ..parts.many import run_many, threads_each, worker_count
from ..parts.options import BAD_INPUT, Console, command_app, complain, say
from ..parts.out import check_out, named_folder, roots
from ..parts.progress import progress_bar
from ..parts.summary import report
from ..parts.times import read_time

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

    A source or an output that fails does not end the others.

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
    with ends_at_once():
        workers = worker_count(jobs, resume, sources, options.device)
        alone = options.with_threads(model_threads(sources, options.model == DEFAULT))
        opened = None if workers else alone.open()
    if opened is None:
        each = alone if workers == 1 else options.with_threads(threads_each(workers))
        return run_many(jobs_of(sources, below), each, str(out), workers, resume, quiet, level)
    with opened as detector:
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
                for writer in writers:
                    writer.make_room()
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


@dataclass(frozen=True)
class Arguments:
    """The options of `mdhr detect`."""

    source: Annotated[list[str], typer.Argument(help="Videos, images, folders, globs, camera numbers or URLs.")]
    model: shared.Model = None
    out: Annotated[Path, typer.Option(help="Folder for the results.", parser=named_folder)] = Path("mdhr-output")
    where: shared.Where = field(default_factory=shared.Where)
    threads: shared.Threads = None
    fps: Annotated[Optional[float], typer.Option(help="Frames per second of an image sequence; 25 if not given.")] = (
        None
    )
    sequence: Annotated[
        Optional[bool],
        typer.Option("--sequence/--stills", help="Images of a folder: frames of one video, or unrelated stills."),
    ] = None
    max_faces: shared.MaxFaces = 10
    face_model: shared.FaceModel = None
    faces: shared.Faces = "auto"
    mode: shared.Mode = "clip"
    lookahead: shared.Lookahead = None
    ring_dtype: Annotated[
        Optional[str],
        typer.Option(
            help="Stream mode: how a face's last frames are kept: float32, or float16 or bfloat16, half as big."
        ),
    ] = None
    drawn: shared.Drawn = field(default_factory=shared.Drawn)
    calibrate_neutral: shared.CalibrateNeutral = None
    smooth: shared.Smooth = None
    tables: shared.Tables = field(default_factory=shared.Tables)
    trusted: shared.Trusted = field(default_factory=shared.Trusted)
    part: shared.Part = field(default_factory=shared.Part)
    jobs: Annotated[
        Optional[int], typer.Option(min=1, help="Worker processes; from 8 files on as many as cores, if not given.")
    ] = None
    resume: shared.Resume = False
    quiet: shared.Quiet = False
    log_level: shared.Level = None

    def options(self, files: Files) -> DetectOptions:
        """Those that results depend on; ConfigError where one cannot be read."""
        neutral = self.calibrate_neutral
        neutral_s = None if neutral is None else read_time("--calibrate-neutral", neutral)
        scope = self.part.scope()
        if neutral_s is not None and scope.end_s is not None and scope.end_s - scope.start_s <= neutral_s:
            raise ConfigError(
                f"--calibrate-neutral takes the first {neutral_s:g} s, and only {scope.end_s - scope.start_s:g} s are "
                "asked for, so no frame is left to score; give a later --end"
            )
        return DetectOptions(
            model=self.model or DEFAULT,
            **vars(self.where),
            threads=self.threads,
            mode=self.mode,
            max_faces=self.max_faces,
            face_model=self.face_model,
            faces=self.faces,
            all_aus=self.trusted.all_aus,
            ring_dtype=self.ring_dtype or "float32",
            digest=self.trusted.digest,
            trust=self.trusted.trust,
            smoothing=self.smooth,
            lookahead=self.lookahead,
            calibrate_neutral_s=neutral_s,
            fps=self.fps,
            scope=scope,
            min_quality=self.tables.min_quality,
            files=files,
        )

    def check_images(self, sources: Sequence[Source]) -> None:
        """ConfigError for options of images where only videos and live sources are read: nothing would follow them."""
        kinds = {source.kind for source in sources}
        if self.fps is not None and "sequence" not in kinds:
            raise ConfigError(
                f"--fps is for image sequences, and no source is one; got {self.fps:g}; videos have their own times, "
                "and --sample-fps thins their frames out"
            )
        if self.sequence is not None and not kinds & {"sequence", "image"}:
            word = "--sequence" if self.sequence else "--stills"
            raise ConfigError(f"{word} is for images, and no source is one; leave it out")


@app.command()
@expanded
def detect(given: Arguments) -> None:
    """Read videos or images into tables, timelines and overlays.

    Clip mode scores windows of T frames, as in the paper. Stream mode scores each frame in the window that ends
    LOOKAHEAD frames after it: less delay for cameras, and no frame at a window's edge.
    """
    set_log_level(given.log_level)
    if given.ring_dtype is not None and given.mode == "clip":
        raise ConfigError(f"--ring-dtype belongs to --mode stream; got {given.ring_dtype} in clip mode")
    files = given.tables.files(given.drawn)
    source = given.source if len(given.source) > 1 else given.source[0]  # a missing one of several ends no other
    with ends_at_once():
        sources = once(list_sources(source, fps=given.fps, sequence=given.sequence, on_error="skip"))
        given.check_images(sources)
        check_out(given.source, given.out)
        options = given.options(files)
    if given.model is None and not given.quiet:
        say(f"no --model given: taking '{DEFAULT}', which comes with mdhr_sdk")
    read, below = scoped(sources, options.scope), roots(given.source)
    failed = read_sources(options, read, given.out, below, given.jobs, given.resume, given.quiet, given.log_level)
    for error in failed:
        complain(error)
    if failed:
        raise typer.Exit(BAD_INPUT)
