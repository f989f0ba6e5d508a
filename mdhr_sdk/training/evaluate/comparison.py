"""Whether two models differ on the same frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from .evaluation import HALF, decide
from .metrics import Floats, mean
from .predictions import Predictions
from .statistics import Interval, TestResult, bootstrap, by_subject, mcnemar, paired_t_test


@dataclass(frozen=True)
class Comparison:
    """Two models, thresholds 0.5.

    Attributes:
        f1: mean over folds of mean F1, of each.
        difference: of the two, with the 95 % interval over subjects drawn anew.
        subjects: paired t-test on F1 per subject, whose units are independent; over the AUs that occur in that subject,
            so blind to false alarms in others; NaN with fewer than two subjects.
        frames: paired t-test on errors |score - label| of single frames, as in the paper's supplement table 6;
            frames of a video are alike, so its p is too small.
        decisions: McNemar's test on decisions, with the same reservation.
    """

    f1: tuple[float, float]
    difference: Interval
    subjects: TestResult
    frames: TestResult
    decisions: TestResult


def compare(first: Sequence[Predictions], second: Sequence[Predictions]) -> Comparison:
    """Compare two models on one or more folds."""
    for one, other in zip(first, second, strict=True):
        if one.frames.paths != other.frames.paths or not np.array_equal(one.frames.labels, other.frames.labels):
            raise InputError("the two runs were not judged on the same frames in the same order; take the same lists")
    ours, theirs = (_Parts(some) for some in (first, second))
    labels = np.concatenate([one.frames.labels for one in first])
    known = labels >= 0
    return Comparison(
        (ours.f1, theirs.f1),
        bootstrap(ours.counts, theirs.counts),
        _over_subjects(ours.by_subject, theirs.by_subject),
        paired_t_test(np.abs(ours.scores - labels)[known], np.abs(theirs.scores - labels)[known]),
        mcnemar(ours.decided, theirs.decided, labels),
    )


class _Parts:
    def __init__(self, predictions: Sequence[Predictions]) -> None:
        decided = [decide(one, [HALF] * len(one.frames.codes)) for one in predictions]
        pairs = list(zip(decided, predictions, strict=True))
        self.counts = counts = [by_subject(d, one.frames.labels, one.frames.subjects) for d, one in pairs]
        self.decided = np.concatenate(decided)
        self.scores = np.concatenate([one.scores for one in predictions]).astype(np.float64)
        self.by_subject: Floats = np.array([mean(row) for fold in counts for row in fold.f1])
        self.f1 = mean([fold.pooled().f1_macro for fold in counts])


def _over_subjects(first: Floats, second: Floats) -> TestResult:
    """Subjects in whom no AU occurs have no F1 in either model."""
    pairs = np.column_stack([first, second])[~np.isnan(first)]
    return paired_t_test(*pairs.T) if len(pairs) > 1 else TestResult(math.nan, math.nan)
