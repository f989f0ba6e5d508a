"""From crops to the array that the model reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..ending import at_work
from ..errors import InputError, import_cv2
from ..ops.faces import planes as compiled


@at_work()
def prepare(crops: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Turn crops into the model's input: RGB, channels first, (x / 255 - mean) / std.

    Args:
        crops: (M, S, S, 3) uint8 BGR; M may be 0.
        mean: of the red, green and blue channel, on the scale 0 to 1.
        std: likewise, above 0.

    Returns:
        (M, 3, S, S) float32, contiguous.

    Raises:
        InputError: another shape or dtype, or a mean and std that are not three numbers, std above 0.
    """
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3 or crops.dtype != np.uint8:
        raise InputError(f"expected crops (M, S, S, 3) uint8 BGR; got {crops.dtype} {crops.shape}; stack align()'s")
    if len(mean) != 3 or len(std) != 3 or not (all(map(math.isfinite, mean)) and all(0 < s < np.inf for s in std)):
        raise InputError(f"expected three means and three stds above 0, in RGB order; got mean {mean} and std {std}")
    factors, shifts = _scales(tuple(mean), tuple(std))
    made = compiled(crops, factors, shifts)
    if made is not None:
        return made
    planes = np.empty((len(crops), 3, *crops.shape[1:3]), np.float32)
    if not crops.size:
        return planes
    # Planes of bytes first: NumPy takes three times as long for every third byte.
    rows = np.ascontiguousarray(crops).reshape(-1, *crops.shape[2:])
    for channel, plane in enumerate(reversed(import_cv2().split(rows))):
        scaled, own = planes[:, channel], plane.reshape(crops.shape[:3])
        np.multiply(own, factors[channel], out=scaled, dtype=np.float32)
        scaled -= shifts[channel]
    return planes


@lru_cache(16)
def _scales(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By what bytes are multiplied, and what is taken off then, of each channel."""
    factors = [1 / (255 * spread) for spread in std]
    shifts = [middle / spread for middle, spread in zip(mean, std, strict=True)]
    return np.array(factors, np.float32), np.array(shifts, np.float32)
