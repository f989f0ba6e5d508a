"""Whether two pictures of a face a moment apart can be of one person, by brightness and colour at the mesh's points."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, import_cv2
from ..ops.faces import look
from .align import crop_matrix
from .sources.source import Image

CROP_PX = 64  # of the aligned picture that is sampled; the face takes half of its side
CELL_PX = 3  # a sample is the mean of so many pixels in both directions
FACE_POINTS = 468  # without the irises
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152]
OVAL += [148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
AROUND = (1.2, 1.4, 1.6)  # the surroundings are sampled on the face's oval, so many times as large
DARKEST, BRIGHTEST = 5.0, 250.0  # of 255: points beyond say nothing
LEAST_SHARE = 0.25  # of the points that must say something
CLEAR_SHARE = 0.75  # of them in a look by which a person can be told
SOFTEN = 8.0  # of 255, added before the logarithm, so that noise in the dark counts little
NOISE = 0.03  # in logarithms: contrast below it is the camera's

# Sampled at the mesh's points, a face that turns or speaks keeps its pattern. Measured on seven videos of people: one
# minus the correlation of the logarithms is up to 0.15 within a third of a second, also where one lamp at the side is
# switched on or all is twice as bright (0.26), and up to 0.34 within a second of the liveliest. Of 42 pairs of people
# 40 differ by 0.42 and more. The other two differ by 0.23, and in the ratio of their colours by 0.025, as no light from
# the side makes it. A lively face of even colour came to 0.41 within a third of a second.
PATTERN = 0.37
PATTERN_OF_ONE_COLOUR, ONE_COLOUR = 0.45, 0.015
PATTERN_AT_ONCE, HUE_AT_ONCE, AT_ONCE_S = 0.12, 0.02, 0.06  # from one frame to the next
ALIKE = 0.30
COLOUR = 0.06  # in logarithms: 6 %
GREY = np.array([0.114, 0.587, 0.299], np.float32)
UNCHANGED = 0.08  # in logarithms: a point of the surroundings that differs by less is as it was
UNCHANGED_SHARE = 0.6  # of the surroundings: as they are around a hand before the face; another person's are not


class Look:
    """How a face looks.

    Args:
        cells: (..., 3) float32 blue, green and red at the same points of each face.
        around: gives the (k,) float32 brightness of the surroundings, which is rarely asked for; None where it is not
            known.
    """

    def __init__(self, cells: NDArray[np.float32], around: Callable[[], NDArray[np.float32]] | None = None) -> None:
        self._cells = cells.reshape(-1, 3)
        grey = self._cells @ GREY
        blue, green, red = self._cells.T
        self._says = (grey > DARKEST) & (np.maximum(np.maximum(blue, green), red) < BRIGHTEST)
        self._log = np.log(grey + SOFTEN)
        self._around_of = around
        self._compared: tuple[weakref.ref[Look], float] | None = None  # with which one, and what was found

    @cached_property
    def clear(self) -> bool:
        """Whether enough of the face is neither dark nor blown out nor flat, so that likeness says something."""
        told = self._log[self._says]
        return len(told) >= CLEAR_SHARE * len(self._log) and float(told.std()) > 2 * NOISE

    @cached_property
    def direction(self) -> NDArray[np.float32]:
        """(k,) the brightness of all points as a vector of length 1: a product of two is their correlation."""
        apart = self._log - self._log.mean()
        return np.asarray(apart / max(float(np.linalg.norm(apart)), NOISE), np.float32)

    def may_be(self, other: Look, gap_s: float) -> bool:
        """Whether both may be of one person, `gap_s` seconds apart."""
        pattern = self.pattern_from(other)
        if gap_s <= AT_ONCE_S and pattern > PATTERN_AT_ONCE and self._hue_from(other) > HUE_AT_ONCE:
            return False
        return pattern <= PATTERN or (pattern <= PATTERN_OF_ONE_COLOUR and self.colour_from(other) <= ONE_COLOUR)

    def resembles(self, other: Look) -> bool:
        """Whether both are so alike that a face may be recognised elsewhere in the frame, or after a cut."""
        return self.pattern_from(other) <= ALIKE and self.colour_from(other) <= COLOUR

    def pattern_from(self, other: Look) -> float:
        """One minus the correlation of the brightness, in [0, 2]; 0 where too little of both can be told."""
        if self._compared is not None and self._compared[0]() is other:  # trackers ask twice a frame
            return self._compared[1]
        pattern = self._pattern_from(other)
        self._compared = weakref.ref(other), pattern
        return pattern

    def _pattern_from(self, other: Look) -> float:
        both = self._says & other._says
        count = np.count_nonzero(both)
        if count < LEAST_SHARE * len(both):
            return 0.0
        if count == len(both):
            (one, one_length), (two, two_length) = self._whole, other._whole
        else:
            (one, one_length), (two, two_length) = _centred(self._log[both]), _centred(other._log[both])
        least = NOISE * math.sqrt(count)
        if max(one_length, two_length) <= least:  # both without contrast
            return 0.0
        return float(1 - one @ two / (max(one_length, least) * max(two_length, least)))

    @cached_property
    def _whole(self) -> tuple[NDArray[np.float32], float]:
        """All points, centred: asked for beside the look before, and the one after."""
        return _centred(self._log)

    def colour_from(self, other: Look) -> float:
        """Median difference of the colour channel that differs most, in logarithms: 0.1 is 10 %."""
        return float(np.abs(self._change_from(other)).max())

    def _hue_from(self, other: Look) -> float:
        """The same, of blue and red against green."""
        change = self._change_from(other)
        return float(np.abs(change - change[1]).max())

    def _change_from(self, other: Look) -> NDArray[np.float32]:
        change = np.log(np.maximum(self._cells, SOFTEN)) - np.log(np.maximum(other._cells, SOFTEN))
        return np.asarray(np.median(change, axis=0), np.float32)

    def surrounded_as(self, other: Look) -> bool:
        """Whether what is around the face is as it was, so that something has come before the face, or gone."""
        if self._around is None or other._around is None:
            return False
        return bool((np.abs(self._around - other._around) < UNCHANGED).mean() >= UNCHANGED_SHARE)

    @cached_property
    def _around(self) -> NDArray[np.float32] | None:
        return None if self._around_of is None else np.log(self._around_of() + 2 * SOFTEN)


def _centred(log: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """The brightness about its mean, and the length of that as a vector."""
    apart = log - log.sum() / len(log)
    return apart, math.sqrt(apart @ apart)


def look_at(image_bgr: Image, landmarks_px: ArrayLike) -> Look | None:
    """The look of a face of an (H, W, 3) uint8 BGR image; None for a mesh too degenerate to align."""
    mesh = np.asarray(landmarks_px, np.float32)[:FACE_POINTS, :2]
    try:
        matrix = crop_matrix(landmarks_px, size_px=CROP_PX)
    except InputError:
        return None
    matrix = matrix / 2
    matrix[:, 2] += CROP_PX / 4
    points = mesh @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)

    soft, cells = look(image_bgr, matrix, CROP_PX, points) or _looked(image_bgr, matrix, points)

    def around() -> NDArray[np.float32]:
        oval = points[OVAL]
        centre = oval.mean(axis=0)
        return _sampled(soft, np.concatenate([centre + reach * (oval - centre) for reach in AROUND])).mean(axis=1)

    return Look(cells, around)


def _looked(
    image: Image, matrix: NDArray[np.float64], points: NDArray[np.float32]
) -> tuple[Image, NDArray[np.float32]]:
    """As the kernel `look`, by OpenCV."""
    cv2 = import_cv2()
    size = (CROP_PX, CROP_PX)
    part = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = np.asarray(cv2.blur(part, (CELL_PX, CELL_PX)), np.uint8)
    return soft, _sampled(soft, points)


def _sampled(image: Image, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3) colours at the (n, 2) points; beyond the image its border is repeated."""
    cv2 = import_cv2()
    colours = cv2.remap(image, points[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours[:, 0], np.float32)
