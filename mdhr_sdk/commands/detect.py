"""What `mdhr detect` does with each source: results into files, progress and a summary onto the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from ..detector import AUDetector
from ..errors import MDHRError
from ..outputs import CsvSink, OverlaySink, Results
from ..outputs.sinks import FileSink
from ..pipeline import StageClock
from ..results import FrameResult
from ..vision import Source


@dataclass
class Outcome:
    """One source, done or broken off."""

    source: Source
    frames: list[FrameResult] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    total_s: float = 0.0
    error: MDHRError | None = None
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Whether the results are all there is; Ctrl-C is how a camera ends."""
        return self.error is None and not (self.interrupted and not self.source.info.live)


def run_detect(detector: AUDetector, sources: Sequence[Source], out: Path, overlay: bool) -> list[MDHRError]:
    """Process the sources one after the other; returns the errors of those that failed.

    Raises:
        KeyboardInterrupt: the user stopped a file halfway; what was done by then is written and announced.
    """
    console, progress_to = Console(), Console(stderr=True)
    outcomes: list[Outcome] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=progress_to, transient=True, disable=not progress_to.is_terminal) as progress:
        for source, stem in zip(sources, _stems(sources), strict=True):
            outcomes.append(_process(detector, source, out / stem, overlay, progress))
            if outcomes[-1].interrupted:
                break
    if any(outcome.frames for outcome in outcomes):
        _report(console, detector, outcomes)
    if not all(outcome.complete or outcome.error for outcome in outcomes):
        raise KeyboardInterrupt
    return [outcome.error for outcome in outcomes if outcome.error is not None]


def _process(detector: AUDetector, source: Source, base: Path, overlay: bool, progress: Progress) -> Outcome:
    outcome = Outcome(source)
    task = progress.add_task(Path(source.name).name, total=None)
    clock = StageClock()
    sinks: list[FileSink] = []
    try:
        with clock("total"), ExitStack() as stack:
            try:
                for result in detector.predict(source, stream=True, images=overlay):
                    with clock("write"):
                        if not sinks:
                            sinks = [stack.enter_context(sink) for sink in _sinks(detector, source, base, overlay)]
                            progress.update(task, total=source.info.frame_count)
                        for sink in sinks:
                            sink.write(result)
                    outcome.frames.append(_slim(result))
                    progress.advance(task)
            except KeyboardInterrupt:
                outcome.interrupted = True
                if not outcome.complete:
                    raise  # so that the sinks mark their files as incomplete
    except MDHRError as error:
        outcome.error = error
    except KeyboardInterrupt:
        pass
    outcome.files = [sink.final_path for sink in sinks if sink.final_path is not None]
    with clock("write"), clock("total"):
        _draw(detector, outcome, base)
    outcome.total_s = clock.seconds.pop("total")
    outcome.timings_s = {**detector.timings_s, **clock.seconds}
    progress.remove_task(task)
    _announce_partial(outcome)
    return outcome


def _sinks(detector: AUDetector, source: Source, base: Path, overlay: bool) -> list[FileSink]:
    sinks: list[FileSink] = [CsvSink(base.with_name(f"{base.name}.csv"), detector.codes)]
    if overlay:
        still = source.info.fps == 0 and not source.info.live
        path = base.with_name(f"{base.name}_overlay{'.jpg' if still else '.mp4'}")
        sinks.append(OverlaySink(path, source.info.fps))
    return sinks


def _draw(detector: AUDetector, outcome: Outcome, base: Path) -> None:
    if not outcome.frames:
        return
    path = base.with_name(f"{base.name}_timeline{'' if outcome.complete else '.incomplete'}.png")
    try:
        Results(tuple(outcome.frames), detector.info, fps=outcome.source.info.fps, codes=detector.codes).plot(path)
        outcome.files.append(path)
    except MDHRError as error:
        outcome.error = outcome.error or error


def _announce_partial(outcome: Outcome) -> None:
    if outcome.error is None or not outcome.frames:
        return
    names = ", ".join(str(path) for path in outcome.files)
    outcome.error = MDHRError(f"{outcome.error}; kept the {len(outcome.frames)} frames before it: {names}")


def _report(console: Console, detector: AUDetector, outcomes: Sequence[Outcome]) -> None:
    console.print(_summary(outcomes))
    console.print(
        f"model {detector.info.name}: {detector.info.tag}; {detector.choice}", soft_wrap=True, highlight=False
    )
    if not detector.info.trained:
        console.print("This model is untrained: its scores mean nothing.", style="bold red")
    for path in (path for outcome in outcomes for path in outcome.files):
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)


def _summary(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="mdhr detect", title_justify="left")
    table.add_column("source", overflow="fold")
    for name in ("frames", "with face", "faces", "frames/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where the time went")
    for outcome in outcomes:
        frames = outcome.frames
        tracks = {face.track_id for result in frames for face in result.faces}
        rate = len(frames) / max(outcome.total_s, 1e-9)
        name = Path(outcome.source.name).name + (" (failed)" if outcome.error else "")
        counts = (len(frames), sum(bool(result.faces) for result in frames), len(tracks))
        table.add_row(name, *map(str, counts), f"{rate:.1f}", _shares(outcome))
    return table


def _shares(outcome: Outcome) -> str:
    spent = {stage: seconds for stage, seconds in outcome.timings_s.items() if seconds >= 0.005 * outcome.total_s}
    spent["other"] = outcome.total_s - sum(outcome.timings_s.values())
    longest = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{stage} {100 * seconds / max(outcome.total_s, 1e-9):.0f} %" for stage, seconds in longest)


def _slim(result: FrameResult) -> FrameResult:
    """Without image and mesh, so that an hour of video fits into memory."""
    none = np.empty((0, 3), np.float32)
    return replace(result, image=None, faces=tuple(replace(face, landmarks_px=none) for face in result.faces))


def _stems(sources: Sequence[Source]) -> list[str]:
    """A file name for each source: its own stem, made unique."""
    stems: list[str] = []
    for source in sources:
        stem = Path(source.name.rstrip("/")).stem or "source"
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in stem)
        same = sum(other == stem or other.startswith(f"{stem}-") for other in stems)
        stems.append(f"{stem}-{same + 1}" if same else stem)
    return stems
