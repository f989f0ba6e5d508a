"""Overlapping parts of a large picture, in which small faces are large enough for a detector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..boxes import Box, area, shared_area

Tile = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels

# MediaPipe's detectors shrink what they are shown to 128 or 192 pixels. They find a face of a fifth of the side and
# more; of twice that and more in the next larger tile, and so a face need not be whole in a tile that it would fill.
STRIDE = 0.65  # of a tile's side, from one tile to the next: a face of 35 % of the side is whole in one of them
STILL_LEAST_PX = 240  # smallest tile of a still, for faces of 48 pixels
STILL_MOST = 300  # smallest tiles of a still, 400 with the larger ones
VIDEO_SHARE = 3  # of the longer side is a tile of a video: 15 tiles of a picture of 16:9, a tenth of a second
VIDEO_LEAST_PX = 320  # smaller videos have no tiles: a face too small for the whole picture has no pixels to score
FACE_SHARE, MANY_TIMES = 0.4, 6.0  # of a tile's side is its largest face; beside one so many times larger none counts
SAME_SHARED = 0.6  # of the smaller box: half a face at a tile's edge lies in the whole one
FLAT = 3.0  # of 255: with less contrast than this a tile is empty


def still_scales(width: int, height: int) -> list[list[Tile]]:
    """Tiles of a still on every scale, the largest first; none for small pictures."""
    least = max(STILL_LEAST_PX, math.ceil(math.sqrt(width * height / STILL_MOST) / STRIDE))
    sides: list[int] = []
    while least <= 0.75 * max(width, height):
        sides.insert(0, least)
        least *= 2
    return [[*_grid(width, height, side)] for side in sides]


def too_fine(tiles: Sequence[Tile], boxes: Sequence[Box]) -> bool:
    """Whether the faces that such tiles are for would be many times smaller than the largest one known."""
    side = max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in tiles)
    largest = max((math.sqrt(max(area(box), 0.0)) for box in boxes), default=0.0)
    return largest > MANY_TIMES * FACE_SHARE * side


def video_tiles(width: int, height: int) -> list[Tile]:
    """Tiles of a video's frames, on one scale; none for a longer side below 960 pixels."""
    side = max(width, height) // VIDEO_SHARE
    return [*_grid(width, height, side)] if side >= VIDEO_LEAST_PX else []


def cut_tile(image: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8] | None:
    """The tile's part of an (H, W, 3) image, with memory of its own; None for one without contrast."""
    x0, y0, x1, y1 = tile
    part = image[y0:y1, x0:x1]
    return np.ascontiguousarray(part) if part[::8, ::8].std() > FLAT else None


def merged(boxes: Sequence[Box]) -> list[Box]:
    """The boxes, largest first, without those that mostly lie in a larger one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=area, reverse=True):
        if not any(same_face(box, other) for other in kept):
            kept.append(box)
    return kept


def same_face(a: Box, b: Box) -> bool:
    """Whether the smaller box lies mostly in the other one."""
    return shared_area(a, b) > SAME_SHARED * min(area(a), area(b))


def _grid(width: int, height: int, side: int) -> Iterator[Tile]:
    for y in _starts(height, side):
        for x in _starts(width, side):
            yield x, y, min(x + side, width), min(y + side, height)


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread first pixels of parts that cover `length`."""
    count = 1 + math.ceil(max(0, length - side) / (STRIDE * side))
    return [int(start) for start in np.linspace(0, max(0, length - side), count).round()]
