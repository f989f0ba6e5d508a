"""Per-frame scores of the field: integer counts first, ratios of them last.

Labels are 1 (occurs), 0 (does not) and -1 (unknown or padding: counted nowhere).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives, int64, shape (..., N); they add up over batches, videos and subjects."""

    tp: Integers
    fp: Integers
    fn: Integers
    tn: Integers

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def pooled(self) -> Counts:
        """Counts of shape (S, N) added up over S."""
        return Counts(*(getattr(self, f.name).sum(axis=0) for f in fields(self)))

    @property
    def f1(self) -> Floats:
        """2 TP / (2 TP + FP + FN), one an AU; NaN where an AU never occurs, whatever is predicted.

        Which AUs make a mean is so for the labels alone to say: two models on the same frames have the same.
        """
        return np.where(self.tp + self.fn > 0, _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn), np.nan)

    @property
    def accuracy(self) -> Floats:
        """Share of known frames that are right, one an AU; NaN where none is known."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    @property
    def f1_macro(self) -> float:
        """Mean of F1 over the AUs that have one: the figure that papers print."""
        return mean(self.f1)

    @property
    def f1_micro(self) -> float:
        """F1 of all AUs' counts pooled."""
        tp, fp, fn = self.tp.sum(), self.fp.sum(), self.fn.sum()
        return float(_ratio(2 * tp, 2 * tp + fp + fn))


def count(predicted: NDArray[np.bool_], labels: NDArray[Any]) -> Counts:
    """Count decisions of shape (n, N) against labels (n, N) in {0, 1, -1}.

    Raises:
        InputError: the shapes differ, the decisions are no booleans, or a label is another number.
    """
    check_labels(labels)
    if predicted.shape != labels.shape or predicted.dtype != np.bool_:
        raise InputError(
            f"decisions must be booleans of the labels' shape {labels.shape}; got {predicted.dtype} {predicted.shape}"
        )
    yes, no = labels == 1, labels == 0
    pairs = ((predicted, yes), (predicted, no), (~predicted, yes), (~predicted, no))
    return Counts(*(np.count_nonzero(a & b, axis=0).astype(np.int64) for a, b in pairs))


def area_under_curve(scores: NDArray[np.floating], labels: NDArray[Any]) -> Floats:
    """Area under the ROC curve, one an AU: how often an occurring frame scores above another, ties counting half.

    NaN where an AU always or never occurs. Scores and labels are (n, N); labels of -1 are left out.

    Raises:
        InputError: the shapes differ, a label is no label, or a score of a known frame is not finite.
    """
    from scipy.stats import rankdata

    check_labels(labels)
    check_scores(scores, labels)
    areas = np.full(labels.shape[1], np.nan)
    for au in range(labels.shape[1]):
        known = labels[:, au] >= 0
        positive = labels[known, au] == 1
        n, m = int(positive.sum()), int((~positive).sum())
        if n and m:
            ranks = rankdata(scores[known, au])
            areas[au] = (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)
    return areas


def mean(values: Sequence[float] | Floats) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if defined.size else float("nan")


def check_labels(labels: NDArray[Any]) -> None:
    """Raises:
    InputError: not (n, N), or a value other than 0, 1 and -1.
    """
    if labels.ndim != 2:
        raise InputError(f"labels must be (frames, AUs); got shape {labels.shape}")
    wrong = np.argwhere((labels != 0) & (labels != 1) & (labels != -1))
    if len(wrong):
        row, au = wrong[0]
        raise InputError(f"labels must be 0, 1 or -1 (unknown); row {row}, column {au} has {labels[row, au]}")


def check_scores(scores: NDArray[np.floating], labels: NDArray[Any]) -> None:
    """Raises:
    InputError: another shape than the labels', or a known frame whose score is not finite.
    """
    if scores.shape != labels.shape:
        raise InputError(f"scores must have the labels' shape {labels.shape}; got {scores.shape}")
    wrong = np.argwhere(~np.isfinite(scores) & (labels >= 0))
    if len(wrong):
        row, au = wrong[0]
        raise InputError(f"scores of known frames must be finite; row {row}, column {au} has {scores[row, au]}")


def _ratio(part: Any, whole: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
