"""A made-up face, and a small geometry network of random weights."""

from __future__ import annotations

import itertools

import numpy as np

from mdhr_sdk.pipeline.scores.geometry import INPUTS, GeometryModel
from mdhr_sdk.vision.faces.geometry import MEASURES, OTHER_SIDE, OUTER_CORNERS, measures, upright

AUS = 3
RIGID_SIDES = {127: 356, 234: 454, 162: 389, 93: 323}
PAIRS = np.array(list({**OTHER_SIDE, **RIGID_SIDES}.items()))


def reference(seed: int = 0) -> np.ndarray:
    """A made-up face, symmetric in its known pairs; outer corners of the eyes 1 apart."""
    points = np.random.default_rng(seed).normal(0, 0.4, (468, 3))
    points[PAIRS[:, 1]] = points[PAIRS[:, 0]] * (-1, 1, 1)
    points[list(OUTER_CORNERS)] = [(-0.5, 0, 0), (0.5, 0, 0)]
    points[[168, 6, 197, 195, 5, 4], 0] = 0
    return points


def in_pixels(points: np.ndarray, scale: float = 80.0, shift: tuple[float, float, float] = (300, 200, 5)) -> np.ndarray:
    return (upright(points) * scale + shift).astype(np.float32)


def network(seed: int = 0, networks: int = 2, hidden: int = 5, aus: int = AUS) -> GeometryModel:
    rng = np.random.default_rng(seed)
    sizes = (INPUTS, hidden, hidden, aus + 1)
    weights = tuple(rng.normal(0, 0.2, (networks, b, a)) for a, b in itertools.pairwise(sizes))
    biases = tuple(rng.normal(0, 0.2, (networks, b)) for b in sizes[1:])
    spread = rng.uniform(0.01, 0.1, MEASURES)
    mean = measures(in_pixels(reference())[None], reference())[0]
    rest, relative = rng.normal(-2, 0.5, aus), np.resize([1.0, 0.5, 0.0], aus)
    shares = np.resize([0.5, 0.0, 1.0], aus)
    nothing, alone = np.zeros((aus, aus)), np.eye(aus)
    return GeometryModel(
        reference(), mean, spread, 2 * spread, np.zeros(MEASURES), weights, biases, rest, relative, nothing, alone,
        np.zeros(aus), shares,
    )  # fmt: skip
