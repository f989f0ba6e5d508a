"""One crop, one flip and one colour jitter for all frames of a clip, so that nothing moves but the face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .augmentation import Augmentation
from .disturb import disturb, disturbs

Clip = NDArray[np.uint8]
GREY_BGR = (0.114, 0.587, 0.299)


def resize(image: Clip, size_px: int) -> Clip:
    """(H, W, 3) to (size_px, size_px, 3), bilinear; averaged where a side shrinks to half or less, as in `align`."""
    if image.shape[:2] == (size_px, size_px):
        return image
    flags = cv2.INTER_AREA if max(image.shape[:2]) >= 2 * size_px else cv2.INTER_LINEAR
    return cv2.resize(image, (size_px, size_px), interpolation=flags).astype(np.uint8, copy=False)


def augment(clip: Clip, size_px: int, augmentation: Augmentation, rng: np.random.Generator) -> Clip:
    """Crop, mirror and colour a clip, every frame alike.

    Colours change as torchvision's ColorJitter does it (factors uniform, the three steps in random order, each clipped
    to 0-255), but for one thing: the grey that contrast turns about is the clip's mean and not the frame's.

    Args:
        clip: (T, H, W, 3) uint8 BGR, H and W at least `size_px`.
        size_px: side of the crop.
        augmentation: the ranges.
        rng: decides everything, with the same number of draws whatever comes out.

    Returns:
        (T, size_px, size_px, 3) uint8 BGR.
    """
    top, left = (int(rng.integers(0, side - size_px + 1)) for side in clip.shape[1:3])
    mirrored = rng.random() < augmentation.flip
    ranges = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    factors = [rng.uniform(low, high) for low, high in ranges]
    flat = np.ascontiguousarray(clip[:, top : top + size_px, left : left + size_px]).reshape(-1, size_px, 3)
    if mirrored:
        flat = cv2.flip(flat, 1).astype(np.uint8, copy=False)
    for step in rng.permutation(3):
        flat = (brighten, contrast, saturate)[step](flat, factors[step])
    frames = flat.reshape(-1, size_px, size_px, 3)
    return disturb(frames, augmentation, rng) if disturbs(augmentation) else frames


def brighten(image: Clip, factor: float) -> Clip:
    """`factor` times every value, (H, W, 3) uint8 BGR."""
    return _each_level(image, factor, 0.0)


def contrast(image: Clip, factor: float) -> Clip:
    """`factor` times every value's distance from the mean grey."""
    grey = float(np.dot(cv2.mean(image)[:3], GREY_BGR))
    return _each_level(image, factor, (1 - factor) * grey)


def saturate(image: Clip, factor: float) -> Clip:
    """`factor` times every pixel's distance from its own grey."""
    matrix = factor * np.eye(3) + (1 - factor) * np.tile(GREY_BGR, (3, 1))
    return cv2.transform(image, matrix).astype(np.uint8, copy=False)


def _each_level(image: Clip, factor: float, shift: float) -> Clip:
    table = np.clip(np.rint(np.arange(256) * factor + shift), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table).astype(np.uint8, copy=False)
