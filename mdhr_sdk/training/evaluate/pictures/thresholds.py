"""Thresholds chosen on labelled pictures by a rule that no single picture can move far.

An AU's threshold t is the one with the highest

    F1(t) - SHRINKAGE / P * (logit t - logit t0) ** 2

where every decision counts as sigmoid((logit p - logit t) / WIDTH) in place of 0 or 1, P is the number of pictures that
show the AU, and t0 is the threshold before. So a threshold moves only as far as many pictures agree, and the fewer show
the AU, the nearer it stays to where it was. An AU that is present or absent in no picture keeps its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .judging import EDGE, Floats, Judged

WIDTH = 0.35  # in logits
SHRINKAGE = 0.15
LOWEST, HIGHEST, STEP = 0.05, 0.95, 0.01
FOLDS = 5


def choose(
    labels: NDArray[np.int8],
    scores: Floats,
    before: Sequence[float],
    width: float = WIDTH,
    shrinkage: float = SHRINKAGE,
) -> tuple[float, ...]:
    """One threshold an AU.

    Args:
        labels: (n, N) in {0, 1, -1}.
        scores: (n, N), finite.
        before: (N,) the thresholds before.
    """
    grid = np.arange(round((HIGHEST - LOWEST) / STEP) + 1) * STEP + LOWEST
    found = list(map(float, before))
    for au, start in enumerate(before):
        present, absent = (_logit(scores[labels[:, au] == value, au]) for value in (1, 0))
        if not present.size or not absent.size:
            continue
        hits, alarms = (_soft(values, _logit(grid), width) for values in (present, absent))
        f1 = 2 * hits / (hits + alarms + present.size)
        moved = (_logit(grid) - _logit(np.array([start]))) ** 2
        found[au] = round(float(grid[np.argmax(f1 - shrinkage / present.size * moved)]), 2)
    return tuple(found)


def chosen(judged: Judged, before: Sequence[float]) -> tuple[float, ...]:
    """Thresholds by all pictures in which a face was found."""
    seen = ~np.isnan(judged.scores).any(axis=1)
    return choose(judged.labels[seen], judged.scores[seen], before)


def cross_validated(
    judged: Judged, before: Sequence[float], width: float = WIDTH, shrinkage: float = SHRINKAGE
) -> Judged:
    """The pictures with scores moved so that 0.5 is the threshold which the pictures of other people chose.

    People are dealt out to `FOLDS` parts; F1 at 0.5 of what is returned is what the rule gives on people that it has
    not seen.
    """
    people = [case.person for case in judged.cases]
    order = {person: turn for turn, person in enumerate(dict.fromkeys(people))}
    fold = np.array([order[person] % FOLDS for person in people])
    seen = ~np.isnan(judged.scores).any(axis=1)
    scores = judged.scores.copy()
    for part in range(FOLDS):
        others = seen & (fold != part)
        cuts = np.array(choose(judged.labels[others], judged.scores[others], before, width, shrinkage))
        here = fold == part
        margin = _logit(judged.scores[here]) - _logit(cuts)
        scores[here] = 1 / (1 + np.exp(-margin))
    return Judged(judged.cases, judged.codes, judged.labels, scores, judged.grey)


def _soft(values: Floats, cuts: Floats, width: float) -> Floats:
    """How many values are above each cut, each counted by a sigmoid."""
    return np.asarray((1 / (1 + np.exp(-(values[:, None] - cuts) / width))).sum(axis=0))


def _logit(values: Floats) -> Floats:
    clipped = np.clip(values, EDGE, 1 - EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)))
