"""How well intensities agree with their truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Floats = NDArray[np.float64]


def intra_class_correlation(told: NDArray[Any], truth: NDArray[Any]) -> float:
    """ICC(3,1) of Shrout and Fleiss (1979) for two raters: two-way mixed effects, consistency, single measurement.

    (MSR - MSE) / (MSR + MSE), of the mean squares between frames and of the residual. With two raters that is twice
    their covariance over the sum of their variances: 1 where they differ by a constant only. So it asks for the same
    spread, unlike a correlation, and does not mind an offset, which the mean absolute error shows.

    Args:
        told, truth: (n,) of the same frames.

    Returns:
        At most 1; NaN for fewer than two frames, or where neither ever changes.

    Raises:
        InputError: the shapes differ, or a value is not finite.
    """
    one, other = np.asarray(told, np.float64), np.asarray(truth, np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise InputError(f"expected two lists of intensities of the same frames; got shapes {one.shape}, {other.shape}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise InputError("intensities must be finite; leave out the frames in which one is not known")
    if len(one) < 2:
        return float("nan")
    first, second = one - one.mean(), other - other.mean()
    spread = float(first @ first + second @ second)
    return float(2 * (first @ second) / spread) if spread else float("nan")


def mean_absolute_error(told: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean of |told - truth| over (n,) frames; NaN without any."""
    return float(np.abs(np.asarray(told, np.float64) - truth).mean()) if len(truth) else float("nan")
