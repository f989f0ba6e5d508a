"""Folds of the skin that come and go with action units: nine masks in UV space, and how strong each AU makes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..kit import Floats
from ..paint import Spots, blurred, curve, noise, stroke
from .muscles import INDEX

MASKS = ("inner brow", "outer brow", "glabella", "nose", "eye corner", "nasolabial", "chin", "dimple", "under eye")
Maps = NDArray[np.uint8]
Fold = Callable[..., None]  # (mask, points, width, depth)


def paint_wrinkles(rng: np.random.Generator, size: int) -> Maps:
    """(size, size, 9) uint8: where each kind of fold lies on this person's face."""
    masks = np.zeros((len(MASKS), size, size), np.float32)

    def fold(mask: int, points: list[tuple[float, float]], width: float, depth: float = 1.0) -> None:
        line, thick = curve(rng, points), max(1, int(width * rng.uniform(0.7, 1.2) * size))
        for i, (start, end) in enumerate(itertools.pairwise(line)):
            stroke(masks[mask], start, end, depth * np.sin(np.pi * (i + 1) / len(line)) ** 0.6, thick)

    _forehead(rng, fold)
    _glabella(rng, fold)
    for side in (-1, 1):
        _one_side(rng, fold, side)
    fold(6, [(0.44, 0.345), (0.47, 0.338), (0.5, 0.336), (0.53, 0.338), (0.56, 0.345)], 0.009)
    dents = np.clip(noise(rng, size, size / 51, 0.35) + noise(rng, size, size / 85, 0.3), 0, 1)
    masks[6] += dents * Spots(size)(0.5, 0.305, 0.05, 0.03)
    blur = size / 512 * 1.6
    for index, mask in enumerate(masks):
        masks[index] = blurred(mask, blur * (1.8 if index in (5, 6) else 1))
    return np.ascontiguousarray((np.clip(masks, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def _forehead(rng: np.random.Generator, fold: Fold) -> None:
    for k in range(rng.integers(3, 6)):
        v, bend = 0.845 + 0.022 * k, rng.normal(0, 0.004)
        fold(0, [(0.40, v - 0.003), (0.45, v + bend), (0.5, v - 0.004), (0.55, v + bend), (0.60, v - 0.003)], 0.005)
        fold(1, [(0.28, v - 0.012), (0.33, v), (0.40, v + 0.004)], 0.005)
        fold(1, [(0.72, v - 0.012), (0.67, v), (0.60, v + 0.004)], 0.005)


def _glabella(rng: np.random.Generator, fold: Fold) -> None:
    for sign in (-1, 1):
        fold(2, [(0.5 + sign * 0.015, 0.775), (0.5 + sign * 0.018, 0.80), (0.5 + sign * 0.028, 0.825)], 0.007)
    if rng.random() < 0.6:
        fold(2, [(0.47, 0.752), (0.5, 0.748), (0.53, 0.752)], 0.006, 0.7)


def _one_side(rng: np.random.Generator, fold: Fold, side: int) -> None:
    for k in range(3):
        v = 0.745 - 0.02 * k
        fold(3, [(0.5 + side * 0.015, v), (0.5 + side * 0.035, v - 0.01), (0.5 + side * 0.055, v - 0.04)], 0.005, 0.8)
    for k in range(rng.integers(2, 5)):
        tilt = np.sin(-0.5 + 0.33 * k + rng.normal(0, 0.06))
        rays = [(0.195, 0.716 + 0.01 * tilt), (0.225, 0.714 + 0.035 * tilt), (0.25, 0.71 + 0.06 * tilt)]
        fold(4, [(0.5 + side * u, v) for u, v in rays], 0.004, 0.8)
    fold(8, [(0.5 + side * 0.095, 0.692), (0.5 + side * 0.14, 0.678), (0.5 + side * 0.19, 0.69)], 0.008, 0.7)
    cheek = ((0.078, 0.575), (0.11, 0.53), (0.135, 0.47), (0.145, 0.42))
    fold(5, [(0.5 + side * u, v) for u, v in cheek], 0.008)
    fold(7, [(0.5 + side * u, v) for u, v in ((0.122, 0.475), (0.130, 0.445), (0.122, 0.415))], 0.007)


def wrinkle_strengths(intensities: Floats, gain: Floats, at_rest: Floats) -> Floats:
    """(2, 9) how deep each mask's folds are in the left and the right half of the face.

    Args:
        intensities: (2, 15) of the action units, left and right.
        gain: (9,) how much this person's skin folds in each.
        at_rest: (9,) folds that never go, as of an older face; they say nothing of an AU.
    """
    au = {number: intensities[:, index] for number, index in INDEX.items()}
    cheek = np.max([0.9 * au[12], 0.8 * au[10], 0.9 * au[9], 0.7 * au[6], 0.4 * au[15]], axis=0)
    under_eye = np.maximum(au[6], 0.6 * au[7])  # crow's feet are AU6's alone
    nose = np.maximum(au[9], 0.5 * au[6] * au[12])  # a laugh folds it too, in many
    moving = np.stack([au[1], au[2], au[4] + 0.5 * au[9], nose, au[6], cheek, au[17], au[14], under_eye], axis=1)
    return (gain * moving + at_rest).astype(np.float32)
