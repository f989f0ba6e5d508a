"""Boxes in pixels: x0, y0, x1, y1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


def box_around(landmarks_px: NDArray[np.float32]) -> Box:
    """The smallest box that holds (n, 3) landmarks."""
    x, y = landmarks_px[:, :2].T.copy()  # rows of their own: half the time
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def iou(a: Box, b: Box) -> float:
    """Shared area over joint area of two boxes, in [0, 1]; 0 where both are empty."""
    shared = shared_area(a, b)
    joint = area(a) + area(b) - shared
    return shared / joint if joint > 0 else 0.0


def shared_area(a: Box, b: Box) -> float:
    """The area that two boxes share, in square pixels."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def area(box: Box) -> float:
    """In square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])
