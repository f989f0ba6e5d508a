"""Near faces of a picture: anchors, boxes and the suppression of those that overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .regions import Region, around_box, whole

if TYPE_CHECKING:
    from .session import Session

SIZE_PX = 128
GRIDS = ((16, 2), (8, 6))  # squares a side, and anchors in the middle of each
LEAST_SCORE = 0.5
SAME_FACE_IOU = 0.3
MOST_LOGIT = 80.0  # its exponential is still a float32


@dataclass(frozen=True)
class Detection:
    """A face: its box in pixels, the region for its mesh, and how sure the network is."""

    box: tuple[float, float, float, float]
    region: Region
    score: float


class FaceDetector:
    """Sees upright faces of a fifth of the picture's longer side and more."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Faces of an (H, W, 3) picture, the surest first."""
        square = whole(rgb)
        answer = self._session.run(square.cut(rgb, SIZE_PX, beyond_black=True)[None])
        scores = 1 / (1 + np.exp(-np.clip(answer["scores"][0], -MOST_LOGIT, MOST_LOGIT)))
        sure = np.flatnonzero(scores >= LEAST_SCORE)
        if not len(sure):
            return []
        values = answer["boxes"][0].reshape(-1, 8, 2)[sure] / SIZE_PX
        values[:, [0, *range(2, 8)]] += anchors()[sure, None]  # middle, then size, then six points of the face
        middle, size = values[:, 0], values[:, 1]
        corners = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
        found = suppressed(np.column_stack([corners, values[:, 2:4].reshape(-1, 4)]), scores[sure])
        return [_detection(row * square.side, square, score) for row, score in found]


def _detection(row: NDArray[np.float64], square: Region, score: float) -> Detection:
    points = row.reshape(4, 2) + np.array([square.x, square.y]) - square.side / 2
    (x0, y0), (x1, y1), left, right = ((float(x), float(y)) for x, y in points)
    box = (x0, y0, x1, y1)
    return Detection(box, around_box(box, left, right), score)


@cache
def anchors() -> NDArray[np.float64]:
    """(896, 2) x and y in sides of the square."""
    rows = []
    for squares, many in GRIDS:
        y, x = np.divmod(np.arange(squares**2), squares)
        rows.append(np.repeat(np.stack([x, y], axis=1) + 0.5, many, axis=0) / squares)
    return np.concatenate(rows)


def suppressed(rows: NDArray[np.float64], scores: NDArray[np.float32]) -> list[tuple[NDArray[np.float64], float]]:
    """Of boxes that overlap, their mean weighted by score; each row begins with x0, y0, x1, y1."""
    kept, left = [], np.argsort(-scores, kind="stable")
    while len(left):
        ious = _ious(rows[left[0]], rows[left])
        same = left[ious > SAME_FACE_IOU] if ious[0] > SAME_FACE_IOU else left[:1]
        kept.append((np.average(rows[same], axis=0, weights=scores[same]), float(scores[left[0]])))
        left = np.setdiff1d(left, same, assume_unique=True) if len(same) < len(left) else left[:0]
        left = left[np.argsort(-scores[left], kind="stable")]
    return kept


def _ious(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    sizes = np.prod(np.maximum(boxes[:, 2:4] - boxes[:, :2], 0), axis=1)
    return shared / np.maximum(np.prod(np.maximum(box[2:4] - box[:2], 0)) + sizes - shared, 1e-12)
