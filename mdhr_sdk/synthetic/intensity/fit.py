"""Intensities fitted on meshes and crops of rendered people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...modelfolder.folder import ModelFolder
from ...pipeline.scores.geometry import SURE, Floats, GeometryModel
from ...pipeline.scores.intensity import INPUTS, IntensityModel, given
from ...vision.faces.geometry import measures
from ..geometry.fit import with_rest
from ..geometry.judge import own_neutral
from ..geometry.meshes import Meshes
from ..geometry.saving import network_logits

KNOWN = (0.0, 0.4, 0.7, 0.9, 1.0)  # how far the face at rest is known, in the copies that are read
KNOTS = 16  # of each map
NONE = 0.02  # share of the most intensity that counts as none
APART = 1e-3  # knots are at least this far apart
DECAY = 2e-4  # of the weights


@dataclass(frozen=True, eq=False)
class Read:
    """What a model says of frames of rendered people, and the truth.

    Attributes:
        said: (M, N) logits of its network, of each frame by itself.
        moved: (M, N) how they differ from those of the person at rest.
        measured, neutral: (M, MEASURES) of the meshes, and of the same people at rest.
        truth: (M, N) intensities as shares of the most, in [0, 1]; known: (M, N) whether anybody could tell.
    """

    said: Floats
    moved: Floats
    measured: Floats
    neutral: Floats
    truth: Floats
    known: NDArray[np.bool_]

    def given(self, geometry: GeometryModel, known: float) -> Floats:
        """(M, N, INPUTS) what intensities are read from, with the face at rest known so far, in [0, 1]."""
        share = np.full(len(self.said), known)
        logits = geometry.logits(self.measured, self.neutral, share)[:, :-1]
        return given(self.said, logits, known * self.moved, share)


def read_people(meshes: Meshes, geometry: GeometryModel, folder: ModelFolder) -> Read:
    """The frames of clips, of people of whom some other frame is at rest.

    Raises:
        DataError: there is none.
    """
    meshes = with_rest(meshes)
    said, measured = network_logits(folder, meshes.crops), measures(meshes.fine, geometry.reference)
    moved, neutral = said - own_neutral(meshes, said), own_neutral(meshes, measured)
    played = ~meshes.rest
    truth = np.clip(meshes.intensities.astype(np.float64), 0, 1)
    said, moved, measured, neutral, truth = (one[played] for one in (said, moved, measured, neutral, truth))
    return Read(said, moved, measured, neutral, truth, meshes.labels[played] >= 0)


def fit(read: Read, geometry: GeometryModel) -> IntensityModel:
    """Fit each AU's sum and its map over the frames of which the truth is known; all intensities are told."""
    values = np.stack([read.given(geometry, known) for known in KNOWN])
    weights, knots, levels = [], [], []
    for au in range(values.shape[2]):
        rows = read.known[:, au]
        own, truth = values[:, rows, au].reshape(-1, INPUTS), np.tile(read.truth[rows, au], len(KNOWN))
        weights.append(_summing(own, truth))
        places, heights = _map(own @ weights[-1], truth)
        knots.append(places)
        levels.append(heights)
    return IntensityModel(np.stack(weights), np.stack(knots), np.stack(levels), np.ones(len(weights), bool))


def _summing(values: Floats, truth: Floats) -> Floats:
    """(INPUTS,) the weights of a logistic regression on shares (M,), the first three of which are at least 0."""
    from scipy.optimize import minimize

    def loss(weights: Floats) -> tuple[float, Floats]:
        sums = np.clip(values @ weights[:-1] + weights[-1], -SURE, SURE)
        slope = 1 / (1 + np.exp(-sums)) - truth
        decay = np.append(DECAY * weights[:-1], 0)
        value = (np.logaddexp(0, sums) - truth * sums).mean() + 0.5 * decay @ weights
        return float(value), np.append(values.T @ slope, slope.sum()) / len(truth) + decay

    limits = [(0, None)] * (INPUTS - 1) + [(None, None)] * 2
    found = minimize(loss, np.array([0.3] * INPUTS + [-1.0]), jac=True, method="L-BFGS-B", bounds=limits)
    return np.asarray(found.x[:-1], np.float64)


def _map(sums: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """(KNOTS,) sums, and the shares there that give what is told the distribution of the truth.

    A sum that so many frames exceed becomes the intensity that as many exceed. Least squares would draw intensities
    towards their mean where the sum says little, and never tell a strong one: on people that were not fitted on both
    ICC(3,1) and the mean error are better so.
    """
    parts = np.linspace((truth <= NONE).mean(), 1, KNOTS)
    knots, levels = np.quantile(sums, parts) + APART * np.arange(KNOTS), np.quantile(truth, parts)  # no two are one
    levels[0] = 0
    return knots, levels
