"""How well geometry tells action units on rendered people that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...pipeline.geometry import GeometryModel
from ...training.evaluate.metrics import area_under_curve, count
from ...vision.faces.geometry import measures
from .fit import REST_BELOW, with_rest
from .meshes import Meshes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Told:
    """Figures of held-out people, one an AU; NaN where an AU is not shown.

    Attributes:
        auc_new, auc_known: with the person's face at rest unknown, and known.
        f1_known: at 0.5.
        rest_auc: how well faces at rest are told from others.
    """

    auc_new: Floats
    auc_known: Floats
    f1_known: Floats
    rest_auc: float


def judge(model: GeometryModel, meshes: Meshes) -> Told:
    """Judge on meshes of other people; who has no frame at rest is left out."""
    meshes = with_rest(meshes)
    measured = measures(meshes.fine, model.reference)
    neutral = own_neutral(meshes, measured)
    new, known = (model.logits(measured, neutral, np.full(len(measured), alpha)) for alpha in (0.0, 1.0))
    at_rest = (meshes.intensities.max(axis=1) < REST_BELOW).astype(np.int8)[:, None]
    return Told(
        area_under_curve(new[:, :-1], meshes.labels),
        area_under_curve(known[:, :-1], meshes.labels),
        count(known[:, :-1] >= 0, meshes.labels).f1,
        float(area_under_curve(new[:, -1:], at_rest)[0]),
    )


def own_neutral(meshes: Meshes, measured: Floats) -> Floats:
    """(M, MEASURES) for each frame the mean of its person's frames at rest."""
    neutral = np.empty_like(measured)
    for person in np.unique(meshes.person):
        mine = meshes.person == person
        neutral[mine] = measured[mine & meshes.rest].mean(axis=0)
    return neutral
