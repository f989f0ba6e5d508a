"""Stronger changes of a clip, for models that learn from pictures unlike those they will see: not in the paper."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .augmentation import Augmentation

Clip = NDArray[np.uint8]
SMALLEST_SIDE, LARGEST_PATCH = 0.35, 0.33


def disturbs(settings: Augmentation) -> bool:
    """Whether the settings ask for any of it."""
    return any((settings.turn_deg, settings.stretch, settings.light, settings.blur, settings.noise, settings.erase))


def disturb(clip: Clip, settings: Augmentation, rng: np.random.Generator) -> Clip:
    """Turn, light, blur, cover and grain a clip, every frame alike but for the grain.

    Args:
        clip: (T, S, S, 3) uint8 BGR.
        settings: how much of each.
        rng: decides everything.

    Returns:
        (T, S, S, 3) uint8 BGR.
    """
    side = clip.shape[1]
    matrix = _matrix(settings, side, rng)
    field = _light(settings.light, side, rng)
    small = int(side * rng.uniform(SMALLEST_SIDE, 1)) if rng.random() < settings.blur else side
    patch = _patch(side, rng) if rng.random() < settings.erase else None
    grain = settings.noise * rng.random()
    frames = []
    for frame in clip:
        changed = frame if matrix is None else _warped(frame, matrix)
        if small < side:
            shrunk = cv2.resize(changed, (small, small), interpolation=cv2.INTER_AREA)
            changed = cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)
        values = changed.astype(np.float32) * field
        if patch is not None:
            rows, columns, colour = patch
            values[rows, columns] = colour
        if grain:
            values += rng.standard_normal(values.shape, dtype=np.float32) * np.float32(255 * grain)
        frames.append(np.clip(values + 0.5, 0, 255).astype(np.uint8))
    return np.stack(frames)


def _matrix(settings: Augmentation, side: int, rng: np.random.Generator) -> NDArray[np.float64] | None:
    turn = np.deg2rad(rng.uniform(-1, 1) * settings.turn_deg)
    scale = 1 + rng.uniform(-1, 1, 2) * settings.stretch
    if not (settings.turn_deg or settings.stretch):
        return None
    linear = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))]) * scale
    middle = np.full(2, (side - 1) / 2)
    return np.column_stack([linear, middle - linear @ middle])


def _warped(frame: Clip, matrix: NDArray[np.float64]) -> Clip:
    size = (frame.shape[1], frame.shape[0])
    return cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _light(strength: float, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(side, side, 1) smooth factors about 1."""
    cells = int(rng.integers(2, 6))
    bumps = rng.standard_normal((cells, cells)).astype(np.float32)
    field = cv2.resize(bumps, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(1 + np.float32(strength * rng.random()) * field, 0.2, 2.0)[..., None]


def _patch(side: int, rng: np.random.Generator) -> tuple[slice, slice, NDArray[np.float32]]:
    height, width = (rng.uniform(0.05, LARGEST_PATCH, 2) * side).astype(int) + 1
    top, left = int(rng.integers(0, side - height + 1)), int(rng.integers(0, side - width + 1))
    return slice(top, top + height), slice(left, left + width), rng.uniform(0, 255, 3).astype(np.float32)
