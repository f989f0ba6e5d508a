"""How training clips vary, all frames of a clip alike: crop, flip and colours as in the paper, and stronger changes."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...errors import ConfigError
from ...modelfolder.strict import Share, strict

Clip = NDArray[np.uint8]
Factors = tuple[float, float]
GREY_BGR = (0.114, 0.587, 0.299)
SMALLEST_SIDE, LARGEST_PATCH = 0.35, 0.33  # of a clip that is shrunk, and of what covers it


@strict
class Augmentation:
    """How training clips vary; the paper's by default.

    Attributes:
        scale: side that a frame is resized to before the random crop, in sides of the crop: 256 for 224.
        flip: probability of a mirrored clip.
        brightness, contrast, saturation: range of the factor; 1 changes nothing.
        turn_deg, stretch: the clip is turned by up to this angle, and each side scaled by up to this share.
        light: strength of an uneven light over the clip; 0.25 makes cheeks differ by about a quarter.
        blur: probability that the clip is shrunk, to no less than 0.35 of its side, and enlarged again.
        noise: greatest standard deviation of a grain that is new in every frame, as a share of full scale.
        erase: probability of a plain patch over up to a third of each side; labels stay as they are, also of AUs that
            the patch hides.
        hold: probability that a clip stands still, as stills are scored: one of its frames throughout, but for grain.
    """

    scale: Annotated[float, Field(ge=1, le=4)] = 256 / 224
    flip: Share = 0.5
    brightness: Factors = (0.6, 1.4)
    contrast: Factors = (0.6, 1.4)
    saturation: Factors = (0.6, 1.4)
    turn_deg: Annotated[float, Field(ge=0, le=45)] = 0.0
    stretch: Share = 0.0
    light: Share = 0.0
    blur: Share = 0.0
    noise: Share = 0.0
    erase: Share = 0.0
    hold: Share = 0.0

    def __post_init__(self) -> None:
        ranges = (self.brightness, self.contrast, self.saturation)
        if not all(0 <= low <= high for low, high in ranges):
            raise ConfigError(f"brightness, contrast and saturation: expected rising ranges from 0; got {ranges}")


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
        clip: (T, H, W, 3) uint8 BGR, H and W at least `size_px`, which is the side of the result.
        rng: decides everything, with the same number of draws whatever comes out.
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


def disturbs(settings: Augmentation) -> bool:
    """Whether the settings ask for any of it."""
    return any((settings.turn_deg, settings.stretch, settings.light, settings.blur, settings.noise, settings.erase))


def disturb(clip: Clip, settings: Augmentation, rng: np.random.Generator) -> Clip:
    """Turn, light, blur, cover and grain a clip (T, S, S, 3) uint8 BGR, every frame alike but for the grain."""
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
