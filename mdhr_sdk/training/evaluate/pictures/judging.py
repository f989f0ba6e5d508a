"""Figures of a model on labelled pictures, each with an interval over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....pipeline.scores.geometry import logit
from ..metrics import mean
from ..statistics import TAILS, Interval
from .labels import Case

HALF = 0.5
DRAWS = 1000
GREY = 3.0  # mean difference of the three colours, of 255, below which a picture counts as grey
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judged:
    """Scored pictures.

    Attributes:
        cases: one a row.
        codes: 'AU01', ... of the columns.
        labels: int8 (n, N) in {0, 1, -1}.
        scores: float64 (n, N); NaN where no face was found.
        grey: (n,) whether the picture has no colour.
    """

    cases: Sequence[Case]
    codes: tuple[str, ...]
    labels: NDArray[np.int8]
    scores: Floats
    grey: NDArray[np.bool_]

    @property
    def faceless(self) -> list[str]:
        """Names of the pictures in which no face was found."""
        return [case.name for case, row in zip(self.cases, self.scores, strict=True) if np.isnan(row).any()]


@dataclass(frozen=True)
class Decided:
    """One AU at one threshold; NaN where there is nothing to count."""

    threshold: float
    f1: Interval
    recall: Interval
    alarms: Interval


@dataclass(frozen=True)
class AUFigures:
    """One AU on all pictures.

    Attributes:
        present, absent: in how many pictures.
        best_f1: at the threshold that fits these pictures best: an upper bound, not a result.
        grey_alarms: share of grey pictures without the AU that are at the model's threshold or above.
    """

    code: str
    present: int
    absent: int
    auc: Interval
    own: Decided
    half: Decided
    best_f1: float
    grey_alarms: float


@dataclass(frozen=True)
class Summary:
    """All AUs, and means over those that can be judged."""

    by_au: tuple[AUFigures, ...]
    auc: Interval
    f1_own: Interval
    f1_half: Interval
    people: int


def summarise(judged: Judged, thresholds: Sequence[float]) -> Summary:
    """Judge at one threshold an AU, and at 0.5. People are drawn anew for the intervals."""
    seen = ~np.isnan(judged.scores).any(axis=1)
    labels, scores, grey = judged.labels[seen], judged.scores[seen], judged.grey[seen]
    people = [case.person for case, one in zip(judged.cases, seen, strict=True) if one]
    weights = _drawn(people)
    found, draws = [], {"auc": [], "own": [], "half": []}  # type: ignore[var-annotated]
    for au, code in enumerate(judged.codes):
        known = labels[:, au] >= 0
        truth, score, times = labels[known, au] == 1, scores[known, au], weights[:, known]
        auc = _areas(truth, score, times)
        decided = [_decide(truth, score, times, threshold) for threshold in (thresholds[au], HALF)]
        off = score[~truth & grey[known]] >= thresholds[au]
        found.append(
            AUFigures(
                code,
                int(truth.sum()),
                int((~truth).sum()),
                _interval(auc),
                decided[0][0],
                decided[1][0],
                best_f1(truth, score),
                float(off.mean()) if off.size else float("nan"),
            )
        )
        if truth.any() and not truth.all():
            for name, drawn in zip(draws, (auc, decided[0][1], decided[1][1]), strict=True):
                draws[name].append(drawn)
    means = [_interval(_row_means(drawn)) for drawn in draws.values()]
    return Summary(tuple(found), means[0], means[1], means[2], len(set(people)))


def _drawn(people: Sequence[str]) -> Floats:
    """(1 + DRAWS, n) how often each picture counts: once, then as people are drawn with replacement."""
    _, number = np.unique(np.array(people, dtype=str), return_inverse=True)
    count = int(number.max()) + 1 if len(people) else 0
    rng = np.random.default_rng(0)
    times = rng.multinomial(count, np.full(count, 1 / max(count, 1)), size=DRAWS) if count else np.zeros((DRAWS, 0))
    return np.concatenate([np.ones((1, len(people))), times[:, number]])


def _areas(truth: NDArray[np.bool_], score: Floats, times: Floats) -> Floats:
    """(1 + DRAWS,) area under the ROC curve; ties count half."""
    present, absent = score[truth], score[~truth]
    higher = (present[:, None] > absent) + 0.5 * (present[:, None] == absent)
    pairs = times[:, truth].sum(axis=1) * times[:, ~truth].sum(axis=1)
    return _share(((times[:, truth] @ higher) * times[:, ~truth]).sum(axis=1), pairs)


def _decide(truth: NDArray[np.bool_], score: Floats, times: Floats, threshold: float) -> tuple[Decided, Floats]:
    positive = score >= threshold
    hits, alarms = times @ (positive & truth), times @ (positive & ~truth)
    there, not_there = times @ truth, times @ ~truth
    f1 = _share(2 * hits, np.where(there > 0, hits + alarms + there, 0))
    rates = [_interval(one) for one in (f1, _share(hits, there), _share(alarms, not_there))]
    return Decided(float(threshold), rates[0], rates[1], rates[2]), f1


def best_f1(truth: NDArray[np.bool_], score: Floats) -> float:
    """The highest F1 that any threshold gives; NaN without a picture that has the AU."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits, last = np.cumsum(truth[order]), np.append(np.diff(score[order]) != 0, True)
    return float((2 * hits / (np.arange(1, len(score) + 1) + truth.sum()))[last].max())


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / np.maximum(whole, 1e-9), np.nan)


def _interval(values: Floats) -> Interval:
    """The value itself comes first, then what the draws gave."""
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, TAILS) if drawn.size else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def _row_means(drawn: Sequence[Floats]) -> Floats:
    table = np.array(drawn).reshape(len(drawn), 1 + DRAWS)
    return np.array([mean(table[:, row]) for row in range(1 + DRAWS)])


def stated_rates(judged: Judged, thresholds: Sequence[float]) -> dict[str, tuple[int, dict[str, float]]]:
    """Of pictures without labels, by what others say of them: how many, and the share at or above each threshold."""
    rates = {}
    free = np.array([not case.labelled for case in judged.cases]) & ~np.isnan(judged.scores).any(axis=1)
    stated = np.array([case.stated for case in judged.cases])
    for text in dict.fromkeys(stated[free].tolist()):
        rows = judged.scores[free & (stated == text)]
        shares = (rows >= np.asarray(thresholds)).mean(axis=0)
        rates[text] = len(rows), dict(zip(judged.codes, shares.tolist(), strict=True))
    return rates


@dataclass(frozen=True)
class Mistake:
    """A wrong decision, and by how much it is wrong, in logits."""

    picture: str
    code: str
    present: bool
    score: float
    threshold: float
    by: float


def worst(judged: Judged, thresholds: Sequence[float], most: int = 10) -> list[Mistake]:
    """The decisions that are most wrong: one a picture and AU, the worst first."""
    cuts = np.asarray(thresholds, np.float64)
    by = logit(judged.scores) - logit(cuts)
    by = np.where(judged.labels == 1, -by, np.where(judged.labels == 0, by, np.nan))
    wrong = np.argwhere((by > 0) | ((by == 0) & (judged.labels == 0)))
    found: list[Any] = sorted(wrong.tolist(), key=lambda place: -by[tuple(place)])[:most]
    return [
        Mistake(
            judged.cases[row].name, judged.codes[au], bool(judged.labels[row, au] == 1), float(judged.scores[row, au]),
            float(cuts[au]), float(by[row, au]),
        )
        for row, au in found
    ]  # fmt: skip
