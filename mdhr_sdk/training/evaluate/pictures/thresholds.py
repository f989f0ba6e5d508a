"""Thresholds chosen on labelled pictures by a rule that no single picture can move far.

An AU's threshold t is the one with the highest

    F1(t) - SHRINKAGE / P * (logit t - logit t0) ** 2

where every decision counts as sigmoid((logit p - logit t) / WIDTH) in place of 0 or 1, P is the number of pictures that
show the AU, and t0 is the threshold before. So a threshold moves only as far as many pictures agree, and the fewer show
the AU, the nearer it stays to where it was. An AU that is present or absent in no picture keeps its threshold.

Where a cap is given for an AU, its threshold is raised until at most that share of the calm pictures, counted in the
same way but with CAP_WIDTH, is above it. Calm pictures have no labels; somebody says that they show nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .judging import Floats, Judged, logit

WIDTH, CAP_WIDTH = 0.35, 0.1  # in logits
SHRINKAGE = 0.15
LOWEST, HIGHEST, STEP = 0.05, 0.95, 0.01
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Caps:
    """How often AUs may be seen in calm pictures.

    Attributes:
        calm: (n,) which pictures are calm.
        most: (N,) the largest share of them; 1 for no cap.
    """

    calm: NDArray[np.bool_]
    most: Floats

    @classmethod
    def of(cls, judged: Judged, stated: str, most: Sequence[float]) -> Caps:
        """Pictures without labels of which others say `stated`; empty text for none."""
        calm = [bool(stated) and not case.labelled and stated in case.stated for case in judged.cases]
        return cls(np.array(calm, bool), np.asarray(most, np.float64))


def choose(
    labels: NDArray[np.int8], scores: Floats, before: Sequence[float], caps: Caps | None = None
) -> tuple[float, ...]:
    """One threshold an AU.

    Args:
        labels: (n, N) in {0, 1, -1}.
        scores: (n, N), finite.
        before: (N,) the thresholds before.
        caps: of the same n pictures.
    """
    grid = np.arange(round((HIGHEST - LOWEST) / STEP) + 1) * STEP + LOWEST
    cuts = logit(grid)
    found = list(map(float, before))
    for au, start in enumerate(before):
        present, absent = (logit(scores[labels[:, au] == value, au]) for value in (1, 0))
        if not present.size or not absent.size:
            continue
        hits, alarms = (_soft(values, cuts) for values in (present, absent))
        f1 = 2 * hits / (hits + alarms + present.size)
        worth = f1 - SHRINKAGE / present.size * (cuts - logit(np.array([start]))) ** 2
        if caps is not None and caps.calm.any() and caps.most[au] < 1:
            seen = _soft(logit(scores[caps.calm, au]), cuts, CAP_WIDTH) / caps.calm.sum()
            worth = np.where(seen <= caps.most[au], worth, -1 - seen)
        found[au] = round(float(grid[np.argmax(worth)]), 2)
    return tuple(found)


def chosen(judged: Judged, before: Sequence[float], caps: Caps | None = None) -> tuple[float, ...]:
    """Thresholds by all pictures in which a face was found."""
    return _of(judged, ~np.isnan(judged.scores).any(axis=1), before, caps)


def cross_validated(judged: Judged, before: Sequence[float], caps: Caps | None = None) -> Judged:
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
        cuts = np.array(_of(judged, seen & (fold != part), before, caps))
        here = fold == part
        scores[here] = 1 / (1 + np.exp(logit(cuts) - logit(judged.scores[here])))
    return replace(judged, scores=scores)


def _of(judged: Judged, rows: NDArray[np.bool_], before: Sequence[float], caps: Caps | None) -> tuple[float, ...]:
    some = None if caps is None else replace(caps, calm=caps.calm[rows])
    return choose(judged.labels[rows], judged.scores[rows], before, some)


def _soft(values: Floats, cuts: Floats, width: float = WIDTH) -> Floats:
    """How many values are above each cut, each counted by a sigmoid."""
    return np.asarray((1 / (1 + np.exp((cuts - values[:, None]) / width))).sum(axis=0))
