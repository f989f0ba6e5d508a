"""What `mdhr figures` does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import numpy as np
import typer
from numpy.typing import NDArray

from ...atomic import whole, write_whole
from ...errors import ConfigError, InputError, SourceError, number_of
from ...modelfolder.config import Preprocessing
from ...modelfolder.folder import ModelFolder
from ..parts.options import MODEL, command_app, say
from .train import require_training, sorted_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...training.evaluate.predictions import Predictions

MOST_FRAMES = 4  # of a clip in one figure
app = command_app()


def _distribution(config: Path | None, changes: Sequence[str], folds: Sequence[int]) -> Figure:
    """Labels of both halves of a fold, which together are the whole data set."""
    from ...training.data.datasets import dataset
    from ...training.data.lists import read_fold
    from ...training.evaluate.paper_figures import draw_distribution
    from ...training.fit.settings import read_settings

    data = read_settings(config, changes).data
    spec = dataset(data.dataset)
    fold = read_fold(Path(data.lists), spec, folds[0])
    return draw_distribution(np.concatenate([fold.train.labels, fold.test.labels]), spec.label_set)


def _of_model(folder: ModelFolder, on: str, first: int) -> dict[str, Any]:
    from ...model import load_model
    from ...training.evaluate.inspection import inspect
    from ...training.evaluate.paper_figures import draw_graph, draw_weights
    from ...vision import prepare

    config = folder.config
    crops = _crops(on, config.clip_length, config.preprocessing, first)
    clip = prepare(crops, config.preprocessing.mean, config.preprocessing.std)[None]
    inspection = inspect(load_model(folder), clip)
    frames = np.unique(np.linspace(0, len(crops) - 1, min(MOST_FRAMES, len(crops))).round().astype(int)).tolist()
    drawn, note = {}, f"trained on {config.trained_on}" if config.trained_on else ""
    if inspection.weights is not None:
        drawn["weights"] = draw_weights(crops, inspection, frames, config.model.scales, config.trained, note)
    if inspection.attention is not None:
        drawn["graph"] = draw_graph(
            crops, inspection, frames, config.model.label_set, config.thresholds, config.trained, note
        )
    return drawn


def _crops(on: str, length: int, preprocessing: Preprocessing, first: int) -> NDArray[np.uint8]:
    """Aligned faces of `length` consecutive frames, (T, S, S, 3) uint8 BGR, from frame `first` on."""
    from ...deploy.parity.footage import face_clips
    from ...vision import list_sources

    (source, *_) = list_sources(on)
    with contextlib.closing(face_clips(source, length, preprocessing, 1, first)) as clips:
        for clip in clips:
            return np.stack(clip.crops)
    raise SourceError(
        f"'{on}' has no {length} consecutive frames with a face from frame {first} on; take other footage"
    )


def _scores(judged: str, folds: Sequence[int]) -> list[Predictions]:
    """Scores of a run's last epoch, or of a folder that `mdhr evaluate --out` filled; one for each fold.

    Raises:
        InputError: there are none, or of other AUs in one fold than in another.
    """
    from ...training.evaluate.evaluation import SETTINGS
    from ...training.evaluate.predictions import Predictions
    from ..parts.judged import of_run

    folder = Path(judged)
    if (folder / SETTINGS).is_file():
        return of_run(folder, folds).first
    files = {int(path.stem.removeprefix("predictions_fold")): path for path in folder.glob("predictions_fold*.npz")
             if path.stem.removeprefix("predictions_fold").isdigit()}  # fmt: skip
    if missing := [fold for fold in folds if fold not in files] or not files:
        what = f"no predictions of fold {missing}" if folds else "neither a run nor predictions_fold1.npz"
        raise InputError(f"'{judged}' holds {what}; give a run, or what mdhr evaluate ... --out FOLDER wrote")
    return [Predictions.load(files[fold]) for fold in sorted(folds or files)]


def _of_scores(judged: str, folds: Sequence[int], out: Path) -> dict[str, Figure]:
    """Curves and counts, the counts as CSV too."""
    from ...training.evaluate.curve_figures import confusion_rows, draw_confusion, draw_precision, draw_thresholds

    found = _scores(judged, folds)
    rows = confusion_rows(found)
    write_whole(out / "confusion.csv", "".join(",".join(map(str, row)) + "\n" for row in rows))
    say(out / "confusion.csv")
    note = f": {judged}, {number_of(len(found), 'fold')}"
    return {
        "precision_recall": draw_precision(found, note),
        "thresholds": draw_thresholds(found, note),
        "confusion": draw_confusion(found, note),
    }


@app.command()
def figures(
    words: Annotated[Optional[list[str]], typer.Argument(help="For labels: CONFIG, section.key=value ...")] = None,
    fold: Annotated[Optional[list[int]], typer.Option(help="Fold whose two halves are the data set.")] = None,
    model: Annotated[Optional[str], typer.Option(help=f"{MODEL}, for weights and graph.")] = None,
    on: Annotated[Optional[str], typer.Option(help="Footage with a face, for weights and graph.")] = None,
    first: Annotated[int, typer.Option(help="Frame of the footage to start at.")] = 0,
    judged: Annotated[
        Optional[str], typer.Option(help="Run, or folder of mdhr evaluate --out, for curves and counts.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("mdhr-figures"),
) -> None:
    """Draw the paper's figures of labels and models, and curves and counts of scores."""
    require_training()
    config, folds, changes = sorted_words(words or [], fold or [])
    if (model is None) != (on is None) or (model is judged is config is None and not changes):
        raise ConfigError(
            "expected CONFIG for the label distribution, --model FOLDER with --on FOOTAGE, or --judged RUN for curves"
        )
    from ...outputs.pictures.style import plain_texts

    drawn = {}
    with plain_texts():
        if config is not None or changes:
            drawn["labels"] = _distribution(config, changes, folds or (1,))
        if model is not None and on is not None:
            drawn |= _of_model(ModelFolder.open(model), on, first)
        if judged is not None:
            drawn |= _of_scores(judged, folds, out)
        for name, figure in drawn.items():
            with whole(out / f"{name}.png") as part:
                figure.savefig(part)
            say(out / f"{name}.png")
