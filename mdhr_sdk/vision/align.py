"""From a frame and a face's mesh to the square crop that the model reads, and on to its input array."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..ending import at_work
from ..errors import ConfigError, InputError, import_cv2
from ..ops.faces import shrink, warp
from .sources.source import Image, check_image


@dataclass(frozen=True)
class Template:
    """Where some mesh points belong in a crop of any size.

    Attributes:
        id: what a model folder's configuration names.
        landmarks: indices into MediaPipe's face mesh.
        targets: one (x, y) a landmark, as fractions of the crop's side from its upper left corner.
    """

    id: str
    landmarks: tuple[int, ...]
    targets: tuple[tuple[float, float], ...]


def _metric(x_cm: float, y_cm: float) -> tuple[float, float]:
    """A point of MediaPipe's metric face (x to the image's right, y up) in the crop of `mdhr-5pt-v1`."""
    return x_cm / 20 + 0.5, (9.3 - y_cm) / 20


DEFAULT_TEMPLATE = "mdhr-5pt-v1"
TEMPLATES: Mapping[str, Template] = {
    # Eye corners from left to right, then the base of the nose, on a frontal face of average size. The crop is a
    # square of 20 cm, centred on the face, its upper edge 9.3 cm above the face's origin. In sevenths of its height,
    # which are the rows that the model's regions are made of (0-3, 2-5, 4-7), real faces measure: brows 1.1 to 1.5,
    # eyes 1.9 to 2.1, base of the nose 3.6 to 3.8, mouth 4.0 to 5.0, chin 5.8 to 6.6. The eye corners and the base
    # of the nose hardly move with brows, mouth or jaw.
    DEFAULT_TEMPLATE: Template(
        id=DEFAULT_TEMPLATE,
        landmarks=(33, 133, 362, 263, 2),
        targets=(
            _metric(-4.46, 3.43),
            _metric(-1.84, 3.25),
            _metric(1.84, 3.25),
            _metric(4.46, 3.43),
            _metric(0.0, -1.2),
        ),
    ),
}


def similarity(points: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """The turn, uniform scale and shift, never a reflection, that brings points closest to targets (least squares).

    Args:
        points: (n, 2), n >= 2.
        targets: (n, 2).

    Returns:
        (2, 3) float64 matrix M with targets ~ M @ (x, y, 1).

    Raises:
        InputError: other shapes, values that are not finite, or points that fix no turn and scale.
    """
    given, wanted = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    if given.ndim != 2 or given.shape[1:] != (2,) or len(given) < 2 or given.shape != wanted.shape:
        raise InputError(f"expected points and targets of one shape (n >= 2, 2); got {given.shape} and {wanted.shape}")
    return _fitted(*([complex(x, y) for x, y in rows] for rows in (given.tolist(), wanted.tolist())))


class _Goal(NamedTuple):
    """Where points belong: their middle, how each lies from it, and the sum of the squares of that."""

    mean: complex
    apart: tuple[complex, ...]
    spread: float

    @classmethod
    def of(cls, targets: Sequence[complex]) -> _Goal:
        mean = sum(targets) / len(targets)
        apart = tuple(one - mean for one in targets)
        return cls(mean, apart, sum(abs(one) ** 2 for one in apart))


def _fitted(z: Sequence[complex], w: Sequence[complex] | _Goal) -> NDArray[np.float64]:
    try:
        return _line_fit(z, w if isinstance(w, _Goal) else _Goal.of(w))
    except OverflowError:
        raise InputError("expected points in pixels; got some that lie too far or too near; skip this face") from None


def _line_fit(z: Sequence[complex], goal: _Goal) -> NDArray[np.float64]:
    """As complex numbers a similarity is w = a z + b, and least squares has the closed form of a line fit.

    Plain numbers, as there are a few points and two fits a frame: arrays take five times as long.
    """
    z_mean = sum(z) / len(z)
    apart = [one - z_mean for one in z]
    spread = sum([abs(one) ** 2 for one in apart])
    shared = sum([one.conjugate() * other for one, other in zip(apart, goal.apart, strict=True)])
    if not cmath.isfinite(spread + shared):
        raise InputError("expected finite points and targets; got NaN or infinity; skip this face")
    a = shared / spread if spread > 1e-12 * sum([abs(one) ** 2 for one in z]) else 0j
    if abs(a) ** 2 * spread <= 1e-12 * goal.spread or a == 0:
        raise InputError("expected points that fix a turn and a scale; these coincide or mirror; skip this face")
    b = goal.mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop_matrix(
    landmarks_px: ArrayLike, template_id: str = DEFAULT_TEMPLATE, size_px: int = 224
) -> NDArray[np.float64]:
    """The (2, 3) float64 similarity from frame to crop, both in pixels counted from the image's upper left corner.

    Raises:
        ConfigError: unknown template, or a size that is no integer above 0.
        InputError: landmarks of another shape, not finite, or in one spot.
    """
    template = TEMPLATES.get(template_id)
    if template is None:
        raise ConfigError(f"unknown alignment template {template_id!r}; known: {', '.join(TEMPLATES)}")
    if not isinstance(size_px, int | np.integer) or isinstance(size_px, bool) or size_px < 1:
        raise ConfigError(f"size_px must be an integer of at least 1; got {size_px!r}")
    mesh = np.asarray(landmarks_px)
    least, rows, goal = _wanted(template_id, int(size_px))
    if mesh.ndim != 2 or len(mesh) < least or mesh.shape[1] not in (2, 3):
        raise InputError(f"expected landmarks of shape (at least {least}, 2 or 3); got {mesh.shape}; give a whole mesh")
    if not np.isfinite(mesh).all():  # not only of the template's points: others are measured
        raise InputError("expected finite landmarks; got NaN or infinity; skip this face")
    return _fitted([complex(x, y) for x, y, *_ in mesh.take(rows, axis=0).astype(np.float64).tolist()], goal)


@cache
def _wanted(template_id: str, size_px: int) -> tuple[int, NDArray[np.intp], _Goal]:
    """How many points a mesh must have, those of the template, and where they belong, in pixels of the crop."""
    template = TEMPLATES[template_id]
    goal = _Goal.of([complex(x * size_px, y * size_px) for x, y in template.targets])
    return max(template.landmarks) + 1, np.array(template.landmarks), goal


@at_work()
def align(image_bgr: Image, landmarks_px: ArrayLike, template_id: str = DEFAULT_TEMPLATE, size_px: int = 224) -> Image:
    """Cut the aligned face out of a frame.

    Bilinear; beyond the frame's edge its border is repeated. Where the face shrinks to half or less it is averaged
    first, so that fine texture fades and does not turn into false patterns that flicker from frame to frame.

    Args:
        image_bgr: (H, W, 3) uint8 BGR.
        landmarks_px: (478, 3) or (478, 2) face mesh in pixels of the frame.
        template_id: key of `TEMPLATES`.
        size_px: side of the crop in pixels.

    Returns:
        (size_px, size_px, 3) uint8 BGR.

    Raises:
        ConfigError: unknown template, or a size that is no integer above 0.
        InputError: not such an image, or landmarks of another shape, not finite, or in one spot.
    """
    cv2 = import_cv2()
    image = check_image(image_bgr)
    matrix = crop_matrix(landmarks_px, template_id, size_px)
    image, matrix = _reduce(image, matrix, size_px)
    # OpenCV counts from the centre of the first pixel, the matrix from its corner.
    (a, b, _), (c, d, _) = matrix.tolist()
    matrix[0, 2] += (a + b) / 2 - 0.5
    matrix[1, 2] += (c + d) / 2 - 0.5
    crop = warp(image, matrix, size_px)
    if crop is None:
        size, flags, border = (size_px, size_px), cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        crop = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=border).astype(np.uint8, copy=False)
    return crop


def _reduce(image: Image, matrix: NDArray[np.float64], size_px: int) -> tuple[Image, NDArray[np.float64]]:
    """Area-average the crop's part of the image by a whole factor, so that the rest shrinks less than twofold.

    Plain numbers: arrays of two or four take ten times as long.
    """
    cv2 = import_cv2()
    rows = matrix.tolist()
    factor = int(1 / math.hypot(rows[0][0], rows[1][0]))
    if factor < 2:
        return image, matrix
    inverse = cv2.invertAffineTransform(matrix).tolist()
    (left, right), (top, bottom) = (
        _span(across, down, start, size_px, 2 * factor, limit)
        for (across, down, start), limit in zip(inverse, image.shape[1::-1], strict=True)
    )
    region = image[top:bottom, left:right]
    size = max(1, round((right - left) / factor)), max(1, round((bottom - top) / factor))
    reduced = shrink(region, size)
    if reduced is None:
        reduced = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
    wide, high = (right - left) / size[0], (bottom - top) / size[1]
    return reduced, np.array([(a * wide, b * high, a * left + b * top + c) for a, b, c in rows])


def _span(across: float, down: float, start: float, size_px: int, margin: int, limit: int) -> tuple[int, int]:
    """From where to before where the crop reaches along one axis of the image, whose length is `limit`."""
    corners = (start, across * size_px + start, down * size_px + start, across * size_px + down * size_px + start)
    low = min(max(math.floor(min(corners)) - margin, 0), limit - 1)
    return low, min(max(math.ceil(max(corners)) + margin, low + 1), limit)
