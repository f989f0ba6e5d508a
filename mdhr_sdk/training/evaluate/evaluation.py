"""Judges a run by its predictions, under four protocols that are never mixed.

Everything is computed from the predictions on disk, so that it can be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...plain_json import read_json
from ..fit.record import read_record
from ..fit.settings import read_settings
from .metrics import Counts, EventCounts, Floats, area_under_curve, count, count_events, mean
from .predictions import Predictions
from .statistics import Interval, bootstrap, by_subject

HALF = 0.5
SETTINGS = "settings.yaml"
HELD_OUT = "held_out"  # folder of the inner run in a fold's
STOPPED = "stopped.json"  # in it where the run was ended early


@dataclass(frozen=True)
class Protocol:
    """How epoch and thresholds were found."""

    name: str
    optimistic: bool = False


LAST = Protocol("last epoch, threshold 0.5")
NESTED = Protocol("epoch chosen on held-out training subjects, threshold 0.5")
TUNED = Protocol("epoch and thresholds chosen on held-out training subjects")
BEST = Protocol("best epoch on the test fold, threshold 0.5 (optimistic)", optimistic=True)
GIVEN = Protocol("as the model folder says")
NETWORK = Protocol("the network without the folder's geometry, threshold 0.5")


@dataclass(frozen=True)
class Choice:
    """The choice by held-out subjects: the epoch with the best F1 at 0.5, and there the best threshold of each AU."""

    epoch: int
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class FoldResult:
    """A fold judged.

    Attributes:
        epoch: after which the model was judged; None for a model folder.
        thresholds: one per AU.
        subjects: counts (S, N), one row per subject.
        areas: area under the ROC curve, one per AU.
        events: event counts, one per AU.
    """

    fold: int
    epoch: int | None
    thresholds: tuple[float, ...]
    subjects: Counts
    areas: Floats
    events: EventCounts

    @property
    def counts(self) -> Counts:
        return self.subjects.pooled()


def _by_au(folds: Sequence[Floats]) -> Floats:
    each = np.stack(folds)
    return np.array([mean(each[:, au]) for au in range(each.shape[1])])


@dataclass(frozen=True)
class Result:
    """All folds under one protocol; every figure is a mean over folds of what is pooled inside a fold."""

    protocol: Protocol
    codes: tuple[str, ...]
    folds: tuple[FoldResult, ...]

    @property
    def f1_by_au(self) -> Floats:
        """One an AU; NaN where no fold has one."""
        return _by_au([fold.counts.f1 for fold in self.folds])

    @property
    def f1(self) -> float:
        """Mean over AUs, then over folds: what papers print."""
        return mean([fold.counts.f1_macro for fold in self.folds])

    @property
    def f1_micro(self) -> float:
        return mean([fold.counts.f1_micro for fold in self.folds])

    @property
    def accuracy(self) -> float:
        return mean([mean(fold.counts.accuracy) for fold in self.folds])

    @property
    def areas(self) -> Floats:
        """Area under the ROC curve, one per AU; NaN where no fold has one."""
        return _by_au([fold.areas for fold in self.folds])

    @property
    def area(self) -> float:
        return mean([mean(fold.areas) for fold in self.folds])

    @property
    def event_f1(self) -> float:
        return mean([fold.events.f1_macro for fold in self.folds])

    @property
    def interval(self) -> Interval:
        """95 % interval of `f1`, subjects drawn anew."""
        return bootstrap([fold.subjects for fold in self.folds])


def decide(predictions: Predictions, thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """(n, N) whether each score reaches its AU's threshold."""
    return predictions.scores >= np.asarray(thresholds, np.float32)


def judge(predictions: Predictions, thresholds: Sequence[float], fold: int = 1, epoch: int | None = None) -> FoldResult:
    """Judge a fold's predictions at one threshold an AU."""
    frames = predictions.frames
    decided = decide(predictions, thresholds)
    return FoldResult(
        fold,
        epoch,
        tuple(float(t) for t in thresholds),
        by_subject(decided, frames.labels, frames.subjects),
        area_under_curve(predictions.scores, frames.labels),
        count_events(decided, frames.labels, frames.runs),
    )


def best_threshold(scores: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    """The threshold of one AU with the highest F1 on these frames; of several the one nearest to 0.5.

    It lies halfway between the lowest score that it accepts and the next one. 0.5 where the AU never occurs.
    """
    known = labels >= 0
    values, truth = scores[known].astype(np.float64), labels[known] == 1
    if not truth.any():
        return HALF
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(truth[order])
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of each run of equal scores
    f1 = 2 * hits[last] / (last + 1 + truth.sum())
    below = np.append(values[last[:-1] + 1], max(0.0, 2 * values[-1] - 1)) if len(last) > 1 else np.array([0.0])
    middles = np.clip((values[last] + below) / 2, 0, 1)
    best = np.flatnonzero(f1 == f1.max())
    return float(middles[best[np.argmin(np.abs(middles[best] - HALF))]])


def epochs_of(folder: Path) -> dict[int, Path]:
    """Validated epochs of a run, rising, and their predictions."""
    paths = [path for path in sorted(folder.glob("epoch_*.npz")) if re.fullmatch("epoch_[0-9]+", path.stem)]
    found = {int(path.stem.removeprefix("epoch_")): path for path in paths}
    if not found:
        raise InputError(f"'{folder}' holds no predictions (epoch_*.npz); train first: mdhr train CONFIG --out RUN")
    return found


def choose(folder: Path) -> Choice:
    """Epoch and thresholds from the inner run in `folder`; of equal epochs the earliest."""
    best: tuple[float, int] = (-1.0, 0)
    paths = epochs_of(folder)
    for epoch, path in paths.items():
        figure = f1_at_half(Predictions.load(path))
        best = max(best, (figure, -epoch))
    epoch = -best[1] or max(paths)
    chosen = Predictions.load(paths[epoch])
    columns = zip(chosen.scores.T, chosen.frames.labels.T, strict=True)
    return Choice(epoch, tuple(best_threshold(scores, labels) for scores, labels in columns))


def stopped_after(folder: Path) -> int | None:
    """The epochs after which `trainer.patience` ended a training; None if it did not.

    Raises:
        InputError: the note of it cannot be read.
    """
    path = folder / STOPPED
    if not path.is_file():
        return None
    try:
        return int(read_json(path)["epochs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' cannot be read ({error!r}); start a new run") from None


def evaluate_run(folder: Path, folds: Sequence[int] = ()) -> list[Result]:
    """All protocols that a run's predictions allow, over all of its folds or those named.

    Raises:
        InputError: a fold is missing or unfinished.
    """
    numbers = list(folds) or _all_folds(folder)
    epochs = read_settings(folder / SETTINGS).trainer.epochs
    judged: dict[Protocol, list[FoldResult]] = {}
    codes: tuple[str, ...] = ()
    for fold in numbers:
        codes, results = _fold(folder / f"fold{fold}", fold, epochs)
        for protocol, result in results.items():
            judged.setdefault(protocol, []).append(result)
    whole = [(protocol, results) for protocol, results in judged.items() if len(results) == len(numbers)]
    return [Result(protocol, codes, tuple(results)) for protocol, results in whole]


def _all_folds(folder: Path) -> list[int]:
    """The folds it was started with, which must all be there, and those added since."""
    found = {int(path.name[4:]) for path in folder.iterdir() if re.fullmatch("fold[0-9]+", path.name)}
    recorded = read_record(folder)["folds"]
    if missing := sorted(set(recorded) - found):
        raise InputError(
            f"'{folder}' was started with folds {recorded} and has none of {missing} yet; finish it: "
            f"mdhr train --resume {folder}; or judge what is there with --fold"
        )
    return sorted(found)


def _fold(folder: Path, fold: int, epochs: int) -> tuple[tuple[str, ...], dict[Protocol, FoldResult]]:
    paths = epochs_of(folder)
    predictions = {epoch: Predictions.load(path) for epoch, path in paths.items()}
    epochs = stopped_after(folder / HELD_OUT) or epochs
    if (last := max(predictions)) != epochs:
        raise InputError(f"'{folder}' is at epoch {last} of {epochs}; finish it: mdhr train --resume {folder.parent}")
    codes = predictions[last].frames.codes
    half = (HALF,) * len(codes)
    plans: dict[Protocol, tuple[int, tuple[float, ...]]] = {LAST: (last, half)}
    if (folder / HELD_OUT).is_dir():
        choice = choose(folder / HELD_OUT)
        if choice.epoch not in predictions:
            raise InputError(
                f"'{folder}' has no predictions of epoch {choice.epoch}; finish it: mdhr train --resume RUN"
            )
        plans[NESTED], plans[TUNED] = (choice.epoch, half), (choice.epoch, choice.thresholds)
    figures = {epoch: f1_at_half(one) for epoch, one in predictions.items()}
    plans[BEST] = max(figures, key=lambda epoch: figures[epoch]), half
    return codes, {
        protocol: judge(predictions[epoch], thresholds, fold, epoch) for protocol, (epoch, thresholds) in plans.items()
    }


def f1_at_half(predictions: Predictions) -> float:
    """0 where no AU occurs or is predicted."""
    decided = predictions.scores >= HALF
    return float(np.nan_to_num(count(decided, predictions.frames.labels).f1_macro))
