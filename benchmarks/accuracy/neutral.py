"""What a neutral reference is worth: the same scores as they are and relative to the face at rest.

From an evaluation of videos: of every one that begins without any AU, these frames are the reference, and the rest is
judged twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.report import Json, console, write_json
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import InputError
from mdhr_sdk.pipeline.scores.neutral import NeutralBaseline
from mdhr_sdk.training.evaluate.comparison import compare
from mdhr_sdk.training.evaluate.metrics import area_under_curve
from mdhr_sdk.training.evaluate.predictions import Predictions
from mdhr_sdk.training.evaluate.statistics import Interval

DRAWS = 1000
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Worth:
    """A figure as the scores are, relative to the neutral frames, and the difference with its 95 % interval."""

    figure: str
    plain: float
    relative: float
    difference: Interval


def split(predictions: Predictions, least: int) -> Iterator[tuple[slice, int]]:
    """Rows of every video that begins with at least `least` frames without an AU and goes on; how many these are."""
    for rows in predictions.frames.runs:
        active = (predictions.frames.labels[rows] != 0).any(axis=1)  # -1 may be one
        neutral = int(np.argmax(active)) if active.any() else len(active)
        if least <= neutral < len(active):
            yield rows, neutral


def relative(scores: NDArray[np.float32], neutral: int) -> NDArray[np.float32]:
    """Scores (n - neutral, N) of a video after its neutral frames, which may come at any rate."""
    baseline = NeutralBaseline(float(neutral))
    found = [baseline.correct(float(second), {0: row})[0][0] for second, row in enumerate(scores)]
    return np.stack(found[neutral:])


def both(predictions: Predictions, least: int) -> tuple[Predictions, Predictions]:
    """The frames after the neutral ones, as they are and relative to them.

    Raises:
        InputError: no video has both.
    """
    parts = list(split(predictions, least))
    if not parts:
        raise InputError(f"no video begins with {least} frames without an AU and goes on; take --least 1, or others")
    rows = np.concatenate([np.arange(of.start + neutral, of.stop) for of, neutral in parts])
    frames = predictions.frames
    starts = np.cumsum([0, *(of.stop - of.start - neutral for of, neutral in parts[:-1])])
    kept = replace(
        frames,
        labels=frames.labels[rows],
        subjects=tuple(frames.subjects[row] for row in rows),
        paths=tuple(frames.paths[row] for row in rows),
        starts=starts.astype(np.int64),
    )
    scores = np.concatenate([relative(predictions.scores[of], neutral) for of, neutral in parts])
    return Predictions(kept, predictions.scores[rows]), Predictions(kept, scores)


def worth(plain: Predictions, ours: Predictions) -> list[Worth]:
    """F1 at 0.5 and AUC, both means over AUs; intervals over people drawn anew."""
    comparison = compare([ours], [plain])
    f1 = Worth("F1", comparison.f1[1], comparison.f1[0], comparison.difference)
    labels, people = plain.frames.labels, np.array(plain.frames.subjects)
    of = {name: np.flatnonzero(people == name) for name in dict.fromkeys(people.tolist())}
    rng = np.random.default_rng(0)
    draws = (np.concatenate([of[name] for name in rng.choice(list(of), len(of))]) for _ in range(DRAWS))
    found = [_area(ours.scores[rows], labels[rows]) - _area(plain.scores[rows], labels[rows]) for rows in draws]
    low, high = np.percentile(found, [2.5, 97.5])
    areas = _area(plain.scores, labels), _area(ours.scores, labels)
    return [f1, Worth("AUC", *areas, Interval(areas[1] - areas[0], float(low), float(high)))]


def _area(scores: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    return float(np.nanmean(area_under_curve(scores, labels)))


def table(rows: Sequence[Worth]) -> Table:
    found = Table("", "as they are", "relative", "difference", "95 %")
    for row in rows:
        figures = (f"{100 * value:.1f}" for value in (row.plain, row.relative))
        change = row.difference
        found.add_row(
            row.figure, *figures, f"{100 * change.value:+.1f}", f"{100 * change.low:+.1f} to {100 * change.high:+.1f}"
        )
    return found


@app.command()
def neutral(
    predictions: Annotated[Path, typer.Argument(help="predictions_fold1.npz of: mdhr evaluate MODEL ... --out FOLDER")],
    least: Annotated[int, typer.Option(min=1, help="Frames without an AU that a video must begin with.")] = 5,
    json: Json = None,
) -> None:
    """Judge scores as they are and relative to the face at rest."""
    plain, ours = both(Predictions.load(predictions), least)
    rows = worth(plain, ours)
    console.print(f"{len(plain.frames.starts)} videos, {len(plain.frames.paths):,} frames after the neutral ones")
    console.print(table(rows))
    write_json(json, {"predictions": str(predictions), "least": least, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    run_app(app)
