"""Crops as the kernel makes them, to be read: NumPy, float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def warp_crops(
    image_bgr: NDArray[np.uint8], to_image: NDArray[np.float64], taps: NDArray[np.int32], size_px: int
) -> NDArray[np.float64]:
    """(H, W, 3) uint8 BGR, (M, 2, 3) from crop to frame, samples a side -> (M, S, S, 3) RGB from 0 to 255."""
    crops = np.zeros((len(taps), size_px, size_px, 3))
    for crop, matrix, count in zip(crops, to_image, taps, strict=True):
        shifts = (np.arange(count) + 0.5) / count - 0.5
        for dy in shifts:
            for dx in shifts:
                y, x = np.mgrid[:size_px, :size_px]
                points = np.stack([x + dx, y + dy, np.ones_like(x)], axis=-1) @ matrix.T
                crop += bilinear(image_bgr, points[..., 0], points[..., 1]) / count**2
    return crops[..., ::-1]


def bilinear(image: NDArray[np.uint8], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples (..., 3) at the pixel centres' coordinates x and y (...), the border repeated."""
    height, width = image.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    dx, dy = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - dx) + image[top, right] * dx
    lower = image[bottom, left] * (1 - dx) + image[bottom, right] * dx
    return upper * (1 - dy) + lower * dy
