"""Turned squares of a picture: cut out for a network, and its points put back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....errors import import_cv2

GROWN = 1.5  # side of a region, in longer sides of what it holds
EYE_CORNERS = (33, 263)  # of the mesh, the outer ones


@dataclass(frozen=True)
class Region:
    """A square in pixels of the picture: its middle, its side, and by how much it is turned clockwise."""

    x: float
    y: float
    side: float
    angle_rad: float = 0.0

    def matrix(self, size: int) -> NDArray[np.float64]:
        """(2, 3): from pixels of a crop of `size` to those of the picture."""
        scale = self.side / size
        cosine, sine = scale * math.cos(self.angle_rad), scale * math.sin(self.angle_rad)
        half = size / 2
        return np.array(
            [
                [cosine, -sine, self.x - half * (cosine - sine)],
                [sine, cosine, self.y - half * (sine + cosine)],
            ]
        )

    def cut(self, picture: NDArray[np.uint8], size: int, beyond_black: bool = False) -> NDArray[np.uint8]:
        """(size, size, 3); what lies beyond the picture is black, or its nearest pixel."""
        cv2 = import_cv2()
        border = cv2.BORDER_CONSTANT if beyond_black else cv2.BORDER_REPLICATE
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(picture, self.matrix(size), (size, size), flags=flags, borderMode=border)
        return np.asarray(crop, np.uint8)

    def back(self, points: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Points (n, 3) of a crop in the picture's pixels; z on the scale of x."""
        matrix = self.matrix(size)
        plane = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return np.column_stack([plane, points[:, 2] * (self.side / size)]).astype(np.float32)


def whole(picture: NDArray[np.uint8]) -> Region:
    """The square around a picture."""
    height, width = picture.shape[:2]
    return Region(width / 2, height / 2, max(width, height))


def around_box(
    box: tuple[float, float, float, float], left_eye: tuple[float, float], right_eye: tuple[float, float]
) -> Region:
    """Where the mesh of a detected face is looked for: upright by its eyes."""
    x0, y0, x1, y1 = box
    angle = math.atan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0])
    return Region((x0 + x1) / 2, (y0 + y1) / 2, GROWN * max(x1 - x0, y1 - y0), angle)


def around_mesh(mesh: NDArray[np.float32]) -> Region:
    """Where the same face is looked for in the next frame."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    dx, dy = (mesh[EYE_CORNERS[1]] - mesh[EYE_CORNERS[0]])[:2]
    middle, side = (low + high) / 2, (high - low).max()
    return Region(float(middle[0]), float(middle[1]), GROWN * float(side), math.atan2(dy, dx))
