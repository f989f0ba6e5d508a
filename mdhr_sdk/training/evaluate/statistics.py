"""How certain a figure is, and whether two models differ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .metrics import Counts, Floats, count

EXACT_BELOW = 25  # discordant pairs from which McNemar's chi-square is close to the exact binomial
SIGNS = (1.0, -1.0)  # of the models whose difference is taken
BATCH = 500  # draws at a time
TAILS = ((1 - 0.95) / 2, (1 + 0.95) / 2)


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TestResult:
    """A test statistic and its two-sided p-value."""

    __test__ = False  # not a test case for pytest

    statistic: float
    p_value: float


def by_subject(predicted: NDArray[np.bool_], labels: NDArray[Any], subjects: Sequence[str]) -> Counts:
    """Counts of shape (S, N), one row per subject in order of first appearance."""
    names = np.asarray(subjects)
    each = [count(predicted[names == name], labels[names == name]) for name in dict.fromkeys(subjects)]
    return Counts(*(np.stack([getattr(one, f.name) for one in each]) for f in fields(Counts)))


def bootstrap(*models: Sequence[Counts], repeats: int = 2000) -> Interval:
    """95 % percentile interval of a model's mean over folds of mean F1, or of the first's minus the second's.

    Subjects are drawn with replacement inside each fold, for two models the same ones. Frames of a subject are alike:
    drawing frames instead would give an interval that is far too narrow. The models stay fixed, so the spread between
    trainings is not included. Its ends are NaN where a fold has a single subject, whom drawing anew does not change.

    Args:
        models: one or two; for every fold counts of shape (S, N), one row per subject, in the same order for both.
    """
    if len({tuple(fold.tp.shape for fold in folds) for folds in models}) != 1:
        raise InputError("the bootstrap of a difference needs the same folds and subjects of both models")
    if not models[0] or any(fold.tp.ndim != 2 or not len(fold.tp) for fold in models[0]):
        raise InputError("the bootstrap needs counts of at least one subject in every fold")

    def figure(fold: tuple[Counts, ...], times: NDArray[np.int64]) -> Floats:
        return sum((sign * _macro(one, times) for sign, one in zip(SIGNS, fold, strict=False)), np.zeros(len(times)))

    rng = np.random.default_rng(0)
    values, value = np.zeros(repeats), 0.0
    for fold in zip(*models, strict=True):
        subjects = len(fold[0].tp)
        for first in range(0, repeats, BATCH):
            rows = min(BATCH, repeats - first)
            times = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=rows)
            values[first : first + rows] += figure(fold, times) / len(models[0])
        value += float(figure(fold, np.ones((1, subjects), np.int64))[0]) / len(models[0])
    if any(len(fold.tp) < 2 for fold in models[0]):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanquantile(values, TAILS)
    return Interval(value, float(low), float(high))


def _macro(fold: Counts, times: NDArray[np.int64]) -> Floats:
    """Mean F1 of each draw: `times` (draws, S) says how often each subject counts."""
    drawn = Counts(*(times @ getattr(fold, f.name) for f in fields(Counts)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)  # a draw may leave no AU to judge
        return np.nanmean(drawn.f1, axis=1)


def paired_t_test(first: NDArray[np.floating], second: NDArray[np.floating]) -> TestResult:
    """Two-sided paired t-test of values measured on the same units, in the same order.

    With one F1 per subject the values are independent. The paper tests predictions of frames, which within a video are
    not: its p-values are too small, and so are these if frames are given.
    """
    from scipy.stats import ttest_rel

    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise InputError(
            f"a paired test needs two lists of the same units, two or more; got {first.shape}, {second.shape}"
        )
    if np.array_equal(first, second):
        return TestResult(0.0, 1.0)
    result: Any = ttest_rel(first, second)
    return TestResult(float(result.statistic), float(result.pvalue))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_], labels: NDArray[Any]) -> TestResult:
    """McNemar's test on the decisions of two models that are right in one and wrong in the other.

    Exact binomial below 25 such decisions (the statistic is then the smaller of the two counts), otherwise
    chi-square with continuity correction. Unknown labels (-1) are left out. It treats decisions as independent.
    """
    from scipy.stats import binomtest, chi2

    if not first.shape == second.shape == labels.shape:
        raise InputError(f"decisions {first.shape} and {second.shape} must have the labels' shape {labels.shape}")
    known, truth = labels >= 0, labels == 1
    only_first = int(np.sum(known & (first == truth) & (second != truth)))
    only_second = int(np.sum(known & (first != truth) & (second == truth)))
    discordant = only_first + only_second
    if discordant == 0:
        return TestResult(0.0, 1.0)
    if discordant < EXACT_BELOW:
        fewer = min(only_first, only_second)
        return TestResult(float(fewer), float(binomtest(fewer, discordant).pvalue))
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / discordant
    return TestResult(statistic, float(chi2.sf(statistic, 1)))
