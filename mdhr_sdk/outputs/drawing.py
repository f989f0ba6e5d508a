"""Anti-aliased shapes and text on BGR images: the few that an overlay needs. All draw in place."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

Image = NDArray[np.uint8]
Cover = NDArray[np.uint8]  # how much of each pixel a shape covers, 0 to 255
Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]

_SUBPIXEL = 4  # bits of the fixed-point coordinates that OpenCV draws with

# Round corners as 16 points each, lower right, lower left, upper left, upper right: the unit circle around the
# corner's centre, and on which side of the box in x and y that centre is.
_TURN = np.linspace(0, math.pi / 2, 16) + np.arange(4)[:, None] * math.pi / 2
_ARC = np.stack((np.cos(_TURN), np.sin(_TURN)), axis=-1).reshape(64, 2)
_FAR = np.repeat(np.array(((1, 1), (0, 1), (0, 0), (1, 0)), np.float64), 16, axis=0)

_ONE_AT_A_TIME = threading.Lock()  # a font holds the text that it draws


def bgr(colour: str) -> Colour:
    """'#rrggbb' -> (b, g, r)."""
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red


def fill(image: Image, box: Box, colour: Colour, radius: float = 0, alpha: float = 1) -> None:
    """A filled box (x0, y0, x1, y1 in pixels) with round corners; `alpha` in [0, 1] is its opacity."""
    left, top = math.floor(box[0]), math.floor(box[1])
    x0, y0, x1, y1 = (_fixed(side) for side in (box[0] - left, box[1] - top, box[2] - left, box[3] - top))
    if x1 > x0 and y1 > y0:
        _stamp(image, left, top, _filled((x0, y0, x1, y1), _fixed(radius)), colour, alpha)


def frame(image: Image, box: Box, colour: Colour, radius: float, thickness_px: int) -> None:
    """The outline of a box with round corners."""
    import cv2

    cv2.polylines(image, [_outline(box, radius)], True, colour, thickness_px, cv2.LINE_AA, _SUBPIXEL)


def text(image: Image, x: float, middle: float, words: str, size_px: int, colour: Colour, bold: bool = False) -> None:
    """A line of text that starts at `x` and whose capitals are centred on the row `middle`; cut at the image's edge."""
    glyphs = _glyphs(words, size_px, bold)
    _stamp(image, round(x), round(middle - len(glyphs) / 2), glyphs, colour)


def text_width(words: str, size_px: int, bold: bool = False) -> int:
    """Width in pixels of a line of text."""
    return int(_glyphs(words, size_px, bold).shape[1])


def _fixed(pixels: float) -> int:
    return round(pixels * (1 << _SUBPIXEL))


def _stamp(image: Image, left: int, top: int, cover: Cover, colour: Colour, alpha: float = 1) -> None:
    """Blend a colour in where `cover` is above 0; what reaches beyond the image is cut."""
    import cv2

    row, column = max(0, -top), max(0, -left)
    region = image[top + row : max(0, top + len(cover)), left + column : max(0, left + cover.shape[1])]
    if region.size:
        weight = cover[row : row + region.shape[0], column : column + region.shape[1]] * np.float32(alpha / 255)
        cv2.blendLinear(np.full_like(region, colour), region, weight, 1 - weight, dst=region)


@lru_cache(maxsize=256)
def _filled(box: tuple[int, int, int, int], radius: int) -> Cover:
    """Coverage of a filled box in fixed-point pixels, which begins in the first row and column."""
    import cv2

    size = 1 << _SUBPIXEL
    drawn = np.zeros((box[3] // size + 2, box[2] // size + 2), np.uint8)
    x0, y0, x1, y1 = (side / size for side in box)
    cv2.fillPoly(drawn, [_outline((x0, y0, x1, y1), radius / size)], (255,), cv2.LINE_AA, _SUBPIXEL)
    drawn.setflags(write=False)  # it is shared through the cache
    return drawn


def _outline(box: Box, radius: float) -> NDArray[np.int32]:
    """(64, 2) fixed-point x and y of a round-cornered box."""
    low, extent = np.array(box[:2]), np.array((box[2] - box[0], box[3] - box[1]))
    radius = max(0.0, min(radius, extent.min() / 2))
    points = low + radius + _FAR * (extent - 2 * radius) + radius * _ARC
    return np.round(points * (1 << _SUBPIXEL)).astype(np.int32)


@lru_cache(maxsize=16)
def _font(name: str, size_px: int) -> FT2Font:
    """A font that comes with matplotlib, kept open: its first text takes three times as long as the next ones."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name))
    font.set_size(size_px, 72)  # at 72 dots per inch a point is a pixel
    return font


@lru_cache(maxsize=256)
def _glyphs(words: str, size_px: int, bold: bool) -> Cover:
    """(H, W) coverage of a line of text in the font that comes with matplotlib.

    Every text has the same height for its size: from the top of a capital to the baseline, and as much more above
    and below as brackets need.
    """
    with _ONE_AT_A_TIME:
        font = _font("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size_px)
        font.clear()
        font.set_text(words)
        font.draw_glyphs_to_bitmap(antialiased=True)
        drawn = np.array(font.get_image(), np.uint8)
        below = round(font.get_descent() / 64)
    capital = math.ceil(0.73 * size_px)
    margin = math.ceil(0.25 * size_px)
    canvas = np.zeros((capital + 2 * margin, drawn.shape[1]), np.uint8)
    first = margin + capital - (drawn.shape[0] - below)
    rows = drawn[max(0, -first) : len(canvas) - first]
    canvas[max(0, first) : max(0, first) + len(rows)] = rows
    canvas.setflags(write=False)
    return canvas
