"""How well geometry tells action units on rendered people that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...modelfolder.folder import ModelFolder
from ...pipeline.scores.geometry import GeometryModel
from ...training.evaluate.metrics import area_under_curve
from ...vision.faces.geometry import measures
from .fit import REST_BELOW, with_rest
from .meshes import Meshes
from .saving import network_logits

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Told:
    """Figures of held-out people, one an AU; NaN where an AU is not shown.

    Attributes:
        auc_new, auc_known: with the person's face at rest unknown, and known.
        combined_new, combined_known: AUC of geometry and the model's network together.
        rest_auc: how well faces at rest are told from others.
    """

    auc_new: Floats
    auc_known: Floats
    combined_new: Floats
    combined_known: Floats
    rest_auc: float


def judge(model: GeometryModel, meshes: Meshes, folder: ModelFolder) -> Told:
    """Judge on meshes of other people, each frame by itself; who has no frame at rest is left out."""
    meshes = with_rest(meshes)
    said = network_logits(folder, meshes.crops)
    relative = np.asarray(said - model.relative * (own_neutral(meshes, said) - model.rest_logits), np.float64)
    measured = measures(meshes.fine, model.reference)
    neutral = own_neutral(meshes, measured)
    new, known = (model.logits(measured, neutral, np.full(len(measured), alpha)) for alpha in (0.0, 1.0))
    at_rest = (meshes.intensities.max(axis=1) < REST_BELOW)[:, None]
    return Told(
        area_under_curve(new[:, :-1], meshes.labels),
        area_under_curve(known[:, :-1], meshes.labels),
        area_under_curve(model.mixed(said, new[:, :-1]), meshes.labels),
        area_under_curve(model.mixed(relative, known[:, :-1]), meshes.labels),
        float(area_under_curve(new[:, -1:], at_rest.astype(np.int8))[0]),
    )


def lines(codes: Sequence[str], told: Told) -> Iterator[str]:
    """A table as text, the means of the AUs that are shown, and how well rest is told."""
    yield "      geometry alone  with the network"
    columns = (told.auc_new, told.auc_known, told.combined_new, told.combined_known)
    for code, row in zip(codes, zip(*columns, strict=True), strict=True):
        yield _line(code, row)
    yield _line("mean", [float(np.nanmean(column)) for column in columns])
    yield f"faces at rest are told from others with an AUC of {told.rest_auc:.3f}"


def _line(name: str, row: Sequence[float]) -> str:
    return f"{name:4s}  {row[0]:.3f} ({row[1]:.3f})   {row[2]:.3f} ({row[3]:.3f})"


def own_neutral(meshes: Meshes, measured: Floats) -> Floats:
    """(M, ...) for each frame the mean of what was measured in its person's frames at rest."""
    neutral = np.empty_like(measured)
    for person in np.unique(meshes.person):
        mine = meshes.person == person
        neutral[mine] = measured[mine & meshes.rest].mean(axis=0)
    return neutral
