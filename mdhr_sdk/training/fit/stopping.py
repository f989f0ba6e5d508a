"""Stopping a run before its last epoch, by the F1 of people it does not train on."""

from __future__ import annotations

import json
from pathlib import Path

from ...atomic import write_whole
from ..evaluate.evaluation import STOPPED, epochs_of, f1_at_half
from ..evaluate.predictions import Predictions


def is_stale(folder: Path, patience: int) -> bool:
    """Whether the last `patience` validations on disk brought no better mean F1 than one before them."""
    figures = [f1_at_half(Predictions.load(path)) for path in epochs_of(folder).values()]
    return len(figures) - 1 - figures.index(max(figures)) >= patience


def best_so_far(folder: Path, done: int) -> tuple[float, int]:
    """The best mean F1 of the validations on disk, and after how many epochs it was reached; (-1, 0) without any.

    Args:
        done: epochs that are over; a run that was killed may have left a validation of the next, which comes again.
    """
    if not any(folder.glob("epoch_*.npz")):
        return -1.0, 0
    paths = {epoch: path for epoch, path in epochs_of(folder).items() if epoch <= done}
    figures = {epoch: f1_at_half(Predictions.load(path)) for epoch, path in paths.items()}
    best = max(figures, key=lambda epoch: figures[epoch], default=0)
    return figures.get(best, -1.0), best


def note_stop(folder: Path, epochs: int) -> None:
    """Note that a training is over after so many epochs."""
    write_whole(folder / STOPPED, json.dumps({"epochs": epochs}) + "\n", settled=True)
