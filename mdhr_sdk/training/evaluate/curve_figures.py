"""Figures of a model's scores: precision over recall, figures over thresholds, and what was decided how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .evaluation import HALF
from .metrics import Counts, Floats, count
from .predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, COLOURS = "#1e293b", "#64748b", ("#3b82f6", "#f97316", "#10b981")
COLUMNS = 4  # panels in a row


@dataclass(frozen=True)
class Curve:
    """One AU at every threshold that changes a decision, falling: float64 arrays of one length, shares of one.

    Attributes:
        share: how often the AU occurs, which is the precision of saying so always.
        average: mean precision over recall (the area below the steps); NaN where the AU never occurs.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    share: float
    average: float

    @property
    def f1(self) -> Floats:
        both = self.precision + self.recall
        return np.where(both > 0, 2 * self.precision * self.recall / np.maximum(both, 1e-12), 0.0)


def curve(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> Curve:
    """Of one AU's scores (n,) and labels (n,) in {0, 1, -1}; -1 is left out."""
    known = labels >= 0
    values, truth = scores[known].astype(np.float64), labels[known] == 1
    if not truth.any():
        return Curve(np.empty(0), np.empty(0), np.empty(0), 0.0, float("nan"))
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(truth[order])
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of each run of equal scores
    precision, recall = hits[last] / (last + 1), hits[last] / truth.sum()
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return Curve(values[last], precision, recall, float(truth.mean()), average)


def pooled(predictions: Sequence[Predictions]) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.int8]]:
    """Codes, scores (n, N) and labels (n, N) of all folds together.

    Raises:
        InputError: folds of other AUs.
    """
    if len({one.frames.codes for one in predictions}) > 1:
        raise InputError("the folds hold scores of different AUs; draw each alone, with --fold")
    scores = np.concatenate([one.scores for one in predictions])
    return predictions[0].frames.codes, scores, np.concatenate([one.frames.labels for one in predictions])


def draw_precision(predictions: Sequence[Predictions], note: str = "") -> Figure:
    """Precision over recall of each AU, all folds together, with the point at 0.5."""
    codes, scores, labels = pooled(predictions)
    figure, panels = _panels(len(codes), f"Precision over recall{note}")
    counts = count(scores >= HALF, labels)
    for column, (code, axes) in enumerate(zip(codes, panels, strict=True)):
        one = curve(scores[:, column], labels[:, column])
        axes.axhline(one.share, color=MUTED, linewidth=0.8, linestyle=":")
        axes.step(one.recall, one.precision, where="post", color=COLOURS[0], linewidth=1.4)
        tp, fp, fn = (int(getattr(counts, name)[column]) for name in ("tp", "fp", "fn"))
        if tp:
            axes.plot(tp / (tp + fn), tp / (tp + fp), "o", color=COLOURS[1], markersize=5)
        told = "never occurs" if np.isnan(one.average) else f"mean precision {100 * one.average:.1f}"
        _dress(axes, f"{code}: {told}", "recall", "precision")
    return figure


def draw_thresholds(predictions: Sequence[Predictions], note: str = "") -> Figure:
    """Precision, recall and F1 of each AU over the threshold, all folds together."""
    codes, scores, labels = pooled(predictions)
    figure, panels = _panels(len(codes), f"Precision, recall and F1 over the threshold{note}")
    for column, (code, axes) in enumerate(zip(codes, panels, strict=True)):
        one = curve(scores[:, column], labels[:, column])
        for name, values, colour in zip(("precision", "recall", "f1"), _three(one), COLOURS, strict=True):
            axes.step(one.thresholds, values, where="post", label=name, color=colour, linewidth=1.2)
        axes.axvline(HALF, color=MUTED, linewidth=0.8, linestyle=":")
        best = (
            f"F1 {100 * one.f1.max():.1f} from {one.thresholds[one.f1.argmax()]:.2f}" if len(one.f1) else "never occurs"
        )
        _dress(axes, f"{code}: {best}", "threshold", "")
    panels[0].legend(frameon=False, fontsize=7.5)
    return figure


def draw_confusion(predictions: Sequence[Predictions], note: str = "") -> Figure:
    """Right and wrong decisions of each AU at 0.5 over all folds: counts, and shares of the frames of that label."""
    codes, scores, labels = pooled(predictions)
    counts = count(scores >= HALF, labels)
    figure, panels = _panels(len(codes), f"Decisions at 0.5, in frames{note}")
    for column, (code, axes) in enumerate(zip(codes, panels, strict=True)):
        table = np.array([[getattr(counts, name)[column] for name in row] for row in (("tn", "fp"), ("fn", "tp"))])
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4)
        for (row, place), number in np.ndenumerate(table):
            text = f"{number:,}\n{100 * shares[row, place]:.0f} %"
            axes.text(place, row, text, ha="center", va="center", fontsize=8, color=INK)
        axes.set_xticks((0, 1), ("said no", "said yes"), fontsize=7.5, color=INK)
        axes.set_yticks((0, 1), ("absent", "present"), fontsize=7.5, color=INK)
        axes.set_title(code, loc="left", fontsize=9, color=INK)
        axes.tick_params(length=0)
    return figure


def confusion_rows(predictions: Sequence[Predictions]) -> list[list[object]]:
    """A table of counts at 0.5 over all folds: a header, then a row an AU."""
    codes, scores, labels = pooled(predictions)
    counts: Counts = count(scores >= HALF, labels)
    names = ("tp", "fp", "fn", "tn")
    rows = [[code, *(int(getattr(counts, name)[at]) for name in names)] for at, code in enumerate(codes)]
    return [["au", *names], *rows]


def _three(one: Curve) -> tuple[Floats, Floats, Floats]:
    return one.precision, one.recall, one.f1


def _panels(number: int, title: str) -> tuple[Figure, list[Axes]]:
    """A page with so many panels."""
    from matplotlib.figure import Figure

    rows = -(-number // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 2.7 * rows + 0.5), dpi=110, facecolor="white", layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12, weight="bold", parse_math=False)
    axes = [figure.add_subplot(rows, COLUMNS, place + 1) for place in range(number)]
    return figure, axes


def _dress(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_xlabel(across, fontsize=8, color=MUTED)
    axes.set_ylabel(up, fontsize=8, color=MUTED)
    axes.tick_params(labelsize=7.5, length=0, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e2e8f0", linewidth=0.6)
