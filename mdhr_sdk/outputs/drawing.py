"""Anti-aliased shapes and text on BGR images: the few that an overlay needs. All draw in place."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]

_SUBPIXEL = 4  # bits of the fixed-point coordinates that OpenCV draws with


def bgr(colour: str) -> Colour:
    """'#rrggbb' -> (b, g, r)."""
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red


def fill(image: Image, box: Box, colour: Colour, radius: float = 0, alpha: float = 1) -> None:
    """A filled box (x0, y0, x1, y1 in pixels) with round corners; `alpha` in [0, 1] is its opacity."""
    import cv2

    height, width = image.shape[:2]
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[2]) + 1), min(height, math.ceil(box[3]) + 1)
    if right <= left or bottom <= top:
        return
    cover = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(cover, [_outline(box, radius, (left, top))], (255,), cv2.LINE_AA, _SUBPIXEL)
    _blend(image[top:bottom, left:right], cover, colour, alpha)


def frame(image: Image, box: Box, colour: Colour, radius: float, thickness_px: int) -> None:
    """The outline of a box with round corners."""
    import cv2

    cv2.polylines(image, [_outline(box, radius, (0, 0))], True, colour, thickness_px, cv2.LINE_AA, _SUBPIXEL)


def text(image: Image, x: float, middle: float, words: str, size_px: int, colour: Colour, bold: bool = False) -> None:
    """A line of text that starts at `x` and whose capitals are centred on the row `middle`; cut at the image's edge."""
    glyphs = _glyphs(words, size_px, bold)
    height, width = glyphs.shape
    left, top = round(x), round(middle - height / 2)
    region = image[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    row, column = max(0, -top), max(0, -left)
    _blend(region, glyphs[row : row + region.shape[0], column : column + region.shape[1]], colour)


def text_width(words: str, size_px: int, bold: bool = False) -> int:
    """Width in pixels of a line of text."""
    return int(_glyphs(words, size_px, bold).shape[1])


def _blend(region: Image, cover: Image, colour: Colour, alpha: float = 1) -> None:
    weight = cover[..., None] * np.float32(alpha / 255)
    region[:] = (region + (np.array(colour, np.float32) - region) * weight + 0.5).astype(np.uint8)


def _outline(box: Box, radius: float, origin: tuple[int, int]) -> NDArray[np.int32]:
    """(64, 2) fixed-point x and y of a round-cornered box, relative to `origin`."""
    x0, y0, x1, y1 = box
    radius = max(0.0, min(radius, (x1 - x0) / 2, (y1 - y0) / 2))
    turn = np.linspace(0, math.pi / 2, 16)
    centres = (
        (x1 - radius, y1 - radius),
        (x0 + radius, y1 - radius),
        (x0 + radius, y0 + radius),
        (x1 - radius, y0 + radius),
    )
    corners = [
        np.stack((x + radius * np.cos(turn + quarter), y + radius * np.sin(turn + quarter)), axis=1)
        for quarter, (x, y) in zip(np.arange(4) * math.pi / 2, centres, strict=True)
    ]
    return np.round((np.concatenate(corners) - origin) * (1 << _SUBPIXEL)).astype(np.int32)


@lru_cache(maxsize=1024)
def _glyphs(words: str, size_px: int, bold: bool) -> Image:
    """(H, W) coverage of a line of text, 0 to 255, in the font that comes with matplotlib.

    Every text has the same height for its size: from the top of a capital to the baseline, and as much more above
    and below as brackets need.
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name))
    font.set_size(size_px, 72)  # at 72 dots per inch a point is a pixel
    font.set_text(words)
    font.draw_glyphs_to_bitmap(antialiased=True)
    drawn = np.asarray(font.get_image(), np.uint8)
    below = round(font.get_descent() / 64)
    capital = math.ceil(0.73 * size_px)
    margin = math.ceil(0.25 * size_px)
    canvas = np.zeros((capital + 2 * margin, drawn.shape[1]), np.uint8)
    first = margin + capital - (drawn.shape[0] - below)
    rows = drawn[max(0, -first) : len(canvas) - first]
    canvas[max(0, first) : max(0, first) + len(rows)] = rows
    canvas.setflags(write=False)  # it is shared through the cache
    return canvas
