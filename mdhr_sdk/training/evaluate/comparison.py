"""Whether two models differ on the same frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .evaluation import HALF, Protocol, Result, decide
from .metrics import Floats, mean
from .predictions import Predictions
from .statistics import Interval, TestResult, bootstrap, by_subject, mcnemar, paired_t_test


@dataclass(frozen=True)
class Comparison:
    """Two models, thresholds 0.5. Every sign is positive where the first is better.

    Attributes:
        f1: mean over folds of mean F1, of each.
        difference: of the two, with the 95 % interval over subjects drawn anew.
        subjects: paired t-test on F1 per subject, whose units are independent; over the AUs that occur in that subject,
            so blind to false alarms in others; NaN with fewer than two subjects.
        frames: paired t-test on errors |score - label| of single frames, as in the paper's supplement table 6, the
            second's minus the first's; frames of a video are alike, so its p is too small.
        decisions: McNemar's test on decisions, with the same reservation; its statistic has no sign.
        right: decisions that are right in the first model alone, and in the second alone.
        codes: the AUs that both were judged on.
    """

    f1: tuple[float, float]
    difference: Interval
    subjects: TestResult
    frames: TestResult
    decisions: TestResult
    right: tuple[int, int] = (0, 0)
    codes: tuple[str, ...] = ()


def compare(first: Sequence[Predictions], second: Sequence[Predictions]) -> Comparison:
    """Compare two models on one or more folds, by the AUs that both were judged on.

    Raises:
        InputError: other frames, or no AU in common.
    """
    codes = [code for code in first[0].frames.codes if code in second[0].frames.codes]
    if not codes:
        raise InputError(
            f"no AU in common: {' '.join(first[0].frames.codes)} against {' '.join(second[0].frames.codes)}"
        )
    first, second = ([one.of(codes) for one in some] for some in (first, second))
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
        paired_t_test(np.abs(theirs.scores - labels)[known], np.abs(ours.scores - labels)[known]),
        mcnemar(ours.decided, theirs.decided, labels),
        (_right_alone(ours.decided, theirs.decided, labels), _right_alone(theirs.decided, ours.decided, labels)),
        tuple(codes),
    )


def by_protocol(first: Sequence[Result], second: Sequence[Result]) -> list[tuple[Protocol, Interval]]:
    """The difference of F1, the first's minus the second's, under each protocol that both were judged by.

    For results of the same frames and AUs.
    """
    others = {result.protocol: result for result in second}
    pairs = [(one, others[one.protocol]) for one in first if one.protocol in others]
    return [
        (one.protocol, bootstrap([f.subjects for f in one.folds], [f.subjects for f in other.folds]))
        for one, other in pairs
    ]


def _right_alone(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], labels: NDArray[np.int8]) -> int:
    truth = labels == 1
    return int(np.sum((labels >= 0) & (ours == truth) & (theirs != truth)))


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
