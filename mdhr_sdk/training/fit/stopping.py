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


def note_stop(folder: Path, epochs: int) -> None:
    """Note that a training is over after so many epochs."""
    write_whole(folder / STOPPED, json.dumps({"epochs": epochs}) + "\n", settled=True)
