"""Anti-aliased shapes and text on BGR images: the few that an overlay needs. All draw in place.

What every frame shows is drawn once, on a transparent sheet, and laid on the images as a layer.
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

Image = NDArray[np.uint8]
Sheet = NDArray[np.float32]  # (H, W, 4): colour times opacity, and opacity, from 0 to 255
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


@dataclass(frozen=True, eq=False)
class Layer:
    """What was drawn on a sheet: its (H, W, 3) colours, and how much of them and of what lies below is seen.

    Attributes:
        weight, rest: (H, W) in [0, 1]; together 1.
    """

    colours: Image
    weight: NDArray[np.float32]
    rest: NDArray[np.float32]

    @classmethod
    def of(cls, sheet: Sheet) -> Layer:
        opacity = np.maximum(sheet[..., 3:], 1e-6) / 255
        weight = np.round(sheet[..., 3]) * np.float32(1 / 255)
        return cls(np.round(sheet[..., :3] / opacity).astype(np.uint8), weight, 1 - weight)

    def rows(self, first: int, end: int | None) -> Layer:
        """The rows from `first` up to `end`."""
        return Layer(self.colours[first:end], self.weight[first:end], self.rest[first:end])


def lay(image: Image, left: int, top: int, layer: Layer) -> None:
    """Lay a layer's upper left corner on a pixel; what reaches beyond the image is cut."""
    region, part = _overlap(image, left, top, layer.weight)
    _blend(region, layer.colours[part], layer.weight[part], layer.rest[part])


@lru_cache(maxsize=2048)
def filled(size: tuple[float, float, float, float], colour: Colour, radius: float) -> Layer:
    """A filled box with round corners as a layer, for what is drawn on many frames.

    Args:
        size: x0, y0, x1, y1 in pixels, from the layer's corner.
    """
    cover = _filled(_fixed_box(size), _fixed(radius))
    weight = cover * np.float32(1 / 255)
    return Layer(np.full((*cover.shape, 3), colour, np.uint8), weight, 1 - weight)


def fill(image: Image | Sheet, box: Box, colour: Colour, radius: float = 0, alpha: float = 1) -> None:
    """A filled box (x0, y0, x1, y1 in pixels) with round corners; `alpha` in [0, 1] is its opacity."""
    left, top = math.floor(box[0]), math.floor(box[1])
    inner = _fixed_box((box[0] - left, box[1] - top, box[2] - left, box[3] - top))
    if inner[2] > inner[0] and inner[3] > inner[1]:
        _stamp(image, left, top, _filled(inner, _fixed(radius)), colour, alpha)


def frame(image: Image, box: Box, colour: Colour, radius: float, thickness_px: int) -> None:
    """The outline of a box with round corners."""
    import cv2

    cv2.polylines(image, [_outline(box, radius)], True, colour, thickness_px, cv2.LINE_AA, _SUBPIXEL)


def text(
    image: Image | Sheet,
    x: float,
    middle: float,
    words: str,
    size_px: int,
    colour: Colour,
    bold: bool = False,
    counts: bool = False,
) -> None:
    """A line of text that starts at `x` and whose capitals are centred on the row `middle`; cut at the image's edge.

    With `counts`, digits are drawn one by one, so that a frame counter needs no new glyphs.
    """
    glyphs = _line(words, size_px, bold, counts)
    _stamp(image, round(x), round(middle - len(glyphs) / 2), glyphs, colour)


def text_width(words: str, size_px: int, bold: bool = False, counts: bool = False) -> int:
    """Width in pixels of a line of text."""
    return int(_line(words, size_px, bold, counts).shape[1])


def _fixed(pixels: float) -> int:
    return round(pixels * (1 << _SUBPIXEL))


def _fixed_box(box: Box) -> tuple[int, int, int, int]:
    return _fixed(box[0]), _fixed(box[1]), _fixed(box[2]), _fixed(box[3])


def _stamp(image: Image | Sheet, left: int, top: int, cover: Cover, colour: Colour, alpha: float = 1) -> None:
    """Blend a colour in where `cover` is above 0; what reaches beyond the image is cut."""
    region, part = _overlap(image, left, top, cover)
    drawn = np.empty_like(region)
    drawn[...] = (*colour, 255)[: image.shape[2]]
    weight = cover[part] * np.float32(alpha / 255)
    _blend(region, drawn, weight, 1 - weight)


def _overlap(image: Image | Sheet, left: int, top: int, cover: NDArray[Any]) -> tuple[Any, tuple[slice, slice]]:
    """The part of the image that a cover lies on, and which part of the cover lies on it."""
    row, column = max(0, -top), max(0, -left)
    region = image[top + row : max(0, top + len(cover)), left + column : max(0, left + cover.shape[1])]
    return region, (slice(row, row + region.shape[0]), slice(column, column + region.shape[1]))


def _blend(region: NDArray[Any], drawn: NDArray[Any], weight: NDArray[np.float32], rest: NDArray[np.float32]) -> None:
    import cv2

    if region.size:
        cv2.blendLinear(drawn, region, weight, rest, dst=region)


@lru_cache(maxsize=1024)
def _filled(box: tuple[int, int, int, int], radius: int) -> Cover:
    """Coverage of a filled box, in fixed-point pixels from the first row and column."""
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
    """A font of matplotlib, kept open: its first text takes three times as long as the next ones."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name))
    font.set_size(size_px, 72)  # at 72 dots per inch a point is a pixel
    return font


def _line(words: str, size_px: int, bold: bool, counts: bool) -> Cover:
    """(H, W) coverage of a line of text.

    Every text has the same height for its size: from the top of a capital to the baseline, and as much more above
    and below as brackets need.
    """
    return _counted(words, size_px, bold) if counts else _glyphs(words, size_px, bold)


@lru_cache(maxsize=4)  # its width is asked for before it is drawn
def _counted(words: str, size_px: int, bold: bool) -> Cover:
    """As `_line`, put together from what was drawn for other numbers."""
    return np.hstack([_spaced(part, size_px, bold) for part in re.findall(r"\d|\D+", words)])


@lru_cache(maxsize=256)
def _glyphs(words: str, size_px: int, bold: bool) -> Cover:
    """As `_line`, in the font that comes with matplotlib; from the first to the last inked column."""
    with _ONE_AT_A_TIME:
        return _drawn(words, size_px, bold)[0]


@lru_cache(maxsize=256)
def _spaced(words: str, size_px: int, bold: bool) -> Cover:
    """As `_glyphs`, from where the words begin to where the next text would begin."""
    with _ONE_AT_A_TIME:
        glyphs, font = _drawn(words, size_px, bold)
        left = max(0, math.floor(font.get_bitmap_offset()[0] / 64))  # the font's drawing begins with a whole pixel
        advance = round(sum(font.load_char(ord(letter)).horiAdvance for letter in words) / 64)
    inked = glyphs.shape[1] - int(np.argmax(glyphs[:, ::-1].any(axis=0)))
    canvas = np.zeros((len(glyphs), max(advance, left + inked)), np.uint8)
    canvas[:, left : left + inked] = glyphs[:, :inked]
    canvas.setflags(write=False)
    return canvas


def _drawn(words: str, size_px: int, bold: bool) -> tuple[Cover, FT2Font]:
    """A line of text, and the font that holds it."""
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
    canvas.setflags(write=False)  # it is shared through the cache
    return canvas, font
