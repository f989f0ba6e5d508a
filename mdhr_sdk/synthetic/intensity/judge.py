"""How well intensities agree with the truth on rendered people that they were not fitted on, and which are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...modelfolder.selection import OFF_TIER
from ...pipeline.scores.geometry import GeometryModel
from ...pipeline.scores.intensity import MOST, IntensityModel
from ...training.evaluate.agreement import intra_class_correlation, mean_absolute_error
from .fit import Read

GOOD, FAIR = (
    0.6,
    0.4,
)  # of Cicchetti's (1994) levels of agreement: fair from 0.40 on, good from 0.60, excellent from 0.75
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Figures of held-out people, one an AU: with the person's face at rest unknown, and known.

    Attributes:
        icc_new, icc_known: ICC(3,1).
        error_new, error_known: mean absolute error, of intensities from 0 to 5.
        by_nothing: the mean absolute error of who always says 0.
    """

    icc_new: Floats
    icc_known: Floats
    error_new: Floats
    error_known: Floats
    by_nothing: Floats


def judge(model: IntensityModel, geometry: GeometryModel, read: Read) -> Agreement:
    """Judge on frames of other people, each frame by itself, where anybody could tell; also AUs that are not told."""
    whole, truth = replace(model, told=np.ones_like(model.told)), MOST * read.truth
    figures: list[Floats] = []
    for known in (0.0, 1.0):
        told = MOST * whole.strengths(read.given(geometry, known))
        figures += [
            by_au(measure, told, truth, read.known) for measure in (intra_class_correlation, mean_absolute_error)
        ]
    nothing = by_au(mean_absolute_error, np.zeros_like(truth), truth, read.known)
    return Agreement(figures[0], figures[2], figures[1], figures[3], nothing)


def good(agreement: Agreement, tiers: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) whose intensity is told: good with the face at rest known, fair before, and not of the tier that is off.

    Args:
        tiers: one an AU; empty where none was rated.
    """
    on = np.array([tier != OFF_TIER for tier in tiers], bool) if tiers else np.ones(len(agreement.icc_known), bool)
    return on & (agreement.icc_known >= GOOD) & (agreement.icc_new >= FAIR)


def lines(codes: Sequence[str], agreement: Agreement, told: NDArray[np.bool_]) -> Iterator[str]:
    """A table as text, and the means of those that are told."""
    yield "      ICC(3,1)       mean error   if always 0"
    columns = (agreement.icc_new, agreement.icc_known, agreement.error_new, agreement.error_known, agreement.by_nothing)
    for au, code in enumerate(codes):
        yield f"{code:4s}  {_figures([column[au] for column in columns])}{'' if told[au] else '   off'}"
    yield f"mean  {_figures([float(column[told].mean()) if told.any() else np.nan for column in columns])}"


def _figures(row: Sequence[float]) -> str:
    return f"{row[0]:.2f} ({row[1]:.2f})    {row[2]:.2f} ({row[3]:.2f})  {row[4]:.2f}"


def by_au(measure: Callable[[Floats, Floats], float], told: Floats, truth: Floats, known: NDArray[np.bool_]) -> Floats:
    """(N,) a measure of each column of (M, N) values, over the rows that are known."""
    return np.array([measure(told[rows, au], truth[rows, au]) for au, rows in enumerate(known.T)])
