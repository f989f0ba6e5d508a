"""How many frames of a video a second come out as action units, faces found included, and whether precisions agree."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, cast

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.report import Backends, Json, Precisions, Threads, console, write_json
from benchmarks.speed.candidates import Candidate, Settings, runnable
from mdhr_sdk import AUDetector
from mdhr_sdk.children import usable_cores
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import InputError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.pipeline.modes import Mode
from mdhr_sdk.results import FrameResult

DEMO = Path(__file__).resolve().parents[2] / "mdhr_sdk" / "assets" / "demo.mp4"
STAGES = ("read", "faces", "align", "model")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Row:
    """One backend in one precision; medians over the turns.

    Attributes:
        frames_per_s: frames of the video by the seconds of a whole run, from its first frame read to its last score;
            opening the model and the face models is not among them.
        stages_ms: milliseconds a frame in `STAGES`.
        decisions_kept: share of occurrences that are those of the first row, of all AUs, faces and frames.
        score_difference: largest |probability - the first row's|.
    """

    backend: str
    precision: str
    frames_per_s: float
    stages_ms: tuple[float, ...]
    decisions_kept: float
    score_difference: float


Scores = tuple[NDArray[np.float64], NDArray[np.bool_]]


def scores(frames: list[FrameResult]) -> Scores:
    """Probabilities and occurrences, (faces of all frames, N) each."""
    aus = [list(face.aus.values()) for frame in frames for face in frame.faces]
    if not aus:
        raise InputError("no face was found in the video; give one that shows a face")
    probabilities = [[au.probability for au in row] for row in aus]
    return np.array(probabilities), np.array([[au.occurrence for au in row] for row in aus])


def turn(detector: AUDetector, video: Path, mode: Mode) -> tuple[float, tuple[float, ...], list[FrameResult]]:
    """Frames a second, milliseconds a frame in each stage, and the results of one run."""
    begin = time.perf_counter()
    frames = list(detector.predict(video, stream=True, mode=mode))
    spent = detector.timings_s
    seconds = time.perf_counter() - begin - spent.get("start", 0.0)
    return len(frames) / seconds, tuple(1e3 * spent.get(stage, 0.0) / len(frames) for stage in STAGES), frames


def measure(
    folder: ModelFolder, chosen: list[Candidate], video: Path, mode: Mode, threads: int, rounds: int
) -> list[Row]:
    """Every candidate's detector is open all the time; they take turns, after one turn each that is not counted."""
    detectors: dict[Candidate, AUDetector] = {}
    turns: dict[Candidate, list[tuple[float, tuple[float, ...]]]] = {one: [] for one in chosen}
    seen: dict[Candidate, Scores] = {}
    with ExitStack() as alive, console.status("") as status:
        options: dict[str, Any] = {"threads": threads, "mode": mode, "max_faces": 1, "all_aus": True}
        for one in chosen:
            detector = AUDetector.from_pretrained(folder.path, one.backend, "cpu", precision=one.precision, **options)
            detectors[one] = alive.enter_context(detector)
        for index in range(rounds + 1):
            status.update(f"round {index} of {rounds}")
            for one, detector in detectors.items():
                rate, stages, frames = turn(detector, video, mode)
                seen[one] = scores(frames)
                turns[one] += [(rate, stages)] if index else []
    reference = seen[chosen[0]]

    def row(one: Candidate) -> Row:
        middle = np.median([stages for _, stages in turns[one]], axis=0)
        kept = float((seen[one][1] == reference[1]).mean())
        difference = float(np.abs(seen[one][0] - reference[0]).max())
        rate = median(rate for rate, _ in turns[one])
        return Row(one.backend, one.precision, rate, tuple(map(float, middle)), kept, difference)

    return [row(one) for one in chosen]


def table(rows: list[Row]) -> Table:
    names = ("backend", "precision", "frames/s", *(f"{stage} ms" for stage in STAGES), "decisions kept", "largest |d|")
    found = Table(*names)
    for one in rows:
        figures = [f"{one.frames_per_s:.0f}", *(f"{value:.2f}" for value in one.stages_ms)]
        judged = (f"{100 * one.decisions_kept:.2f} %", f"{one.score_difference:.4f}")
        found.add_row(one.backend, one.precision, *figures, *judged)
    return found


@app.command()
def detect(
    model: Annotated[str, typer.Argument(help="A model folder with its graphs exported, or 'edge'.")] = "edge",
    video: Annotated[Path, typer.Argument(help="A video that shows a face.")] = DEMO,
    backend: Backends = None,
    precision: Precisions = None,
    mode: Annotated[str, typer.Option(help="clip or stream.")] = "clip",
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
    json: Json = None,
) -> None:
    """A video from file to action units with one face, and decisions beside those of the first row."""
    machine, folder = describe_machine(), ModelFolder.open(model)
    threads = usable_cores() if threads is None else threads
    settings = Settings("encoder" if mode == "stream" else "clip", threads=threads, rounds=rounds)
    chosen = runnable(folder, settings, backend or (), precision or ())
    console.print(machine.header())
    console.print(f"{folder.path}: {video.name}, mode {mode}, threads {threads}, FaceMesh on the CPU, one face")
    rows = measure(folder, chosen, video, cast(Mode, mode), threads, rounds)  # the detector checks it
    console.print(table(rows))
    content = {"machine": asdict(machine), "video": str(video), "mode": mode, "threads": threads}
    write_json(json, {**content, "rows": [asdict(one) for one in rows]})


if __name__ == "__main__":
    run_app(app)
