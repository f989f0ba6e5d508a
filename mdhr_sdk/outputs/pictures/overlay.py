"""Draws results on their frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...ending import at_work
from ...errors import InputError, import_cv2
from ...results import Baseline, FaceResult, FrameResult, ModelInfo
from . import drawing
from .drawing import Box, Colour, Image, Layer, Sheet
from .panel import DARK, WHITE, Panel
from .style import track_colour

_RED: Colour = (38, 38, 220)
_AMBER: Colour = (11, 158, 245)
_BASELINE: dict[Baseline, str] = {
    "off": "",
    "neutral": " (neutral)",
    "applied": " (relative)",
    "missing": " (no baseline)",
}


@at_work()
def annotate(image_bgr: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
    """Draw every face's box, track id and AU scores, and the frame's time.

    Bars show probabilities; AUs that occur are in the track's colour, the others grey; a letter after an AU is its
    reliability. A frame of an untrained model says so; a small line says what else a model was trained on.

    Args:
        image_bgr: (H, W, 3) uint8, the frame; left as it is.
        result: what the detector found in it.

    Returns:
        (H, W, 3) uint8 BGR, a copy with the drawing.

    Raises:
        InputError: the image is not a BGR image of uint8.
        MissingDependencyError: OpenCV cannot be loaded.
    """
    import_cv2()
    if image_bgr.ndim != 3 or image_bgr.shape[2] != 3 or image_bgr.dtype != np.uint8 or not image_bgr.size:
        raise InputError(
            f"an overlay needs a BGR image of shape (H, W, 3) and dtype uint8; got {image_bgr.shape} "
            f"{image_bgr.dtype}; convert the frame first"
        )
    canvas: Image = np.ascontiguousarray(image_bgr).copy()
    style = _Style.of(canvas, result)
    boxes = [_inside(face.box_px, canvas) for face in result.faces]
    for face, box in zip(result.faces, boxes, strict=True):
        drawing.frame(canvas, box, style.colour(face), 1.2 * style.text_px, style.line_px)
    taken = boxes + [_tag(canvas, face, box, style) for face, box in zip(result.faces, boxes, strict=True)]
    for face, box in zip(result.faces, boxes, strict=True):
        taken.append(_panel(canvas, face, box, taken, style))
    _status(canvas, result, style)
    return canvas


@dataclass(frozen=True)
class _Style:
    """Sizes in pixels, all from the frame's: text stays readable at 320 x 320 and unobtrusive at 1920 x 1080."""

    text_px: int
    line_px: int
    top_px: float  # rows above it belong to the warning,
    bottom_px: float  # rows from it on to the status line
    model: ModelInfo

    @classmethod
    def of(cls, image: Image, result: FrameResult) -> _Style:
        height, short = image.shape[0], min(image.shape[:2])
        text = max(9, round(short / 54))
        top = 0.0 if result.model.trained else 2.7 * text
        return cls(text, max(1, round(short / 500)), top, height - 2.2 * text, result.model)

    def colour(self, face: FaceResult) -> Colour:
        return drawing.bgr(track_colour(face.track_id))


def _inside(box: Box, image: Image) -> Box:
    """The part of a box inside the image, so that the outline of a face at the edge stays visible."""
    height, width = image.shape[:2]
    x0, x1 = np.clip((box[0], box[2]), 1, max(1, width - 2)).tolist()
    y0, y1 = np.clip((box[1], box[3]), 1, max(1, height - 2)).tolist()
    return x0, y0, x1, y1


def _chip(
    image: Image, x: float, y: float, words: str, size: int, back: Colour, alpha: float, bold: bool = True
) -> Box:
    """White words on a rounded label whose top left corner is (x, y); returns where it is."""
    x, y = round(x), round(y)
    layer, width, height = _label(words, size, back, alpha, bold)
    drawing.lay(image, x, y, layer)
    return x, y, x + width, y + height


@lru_cache(maxsize=16)
def _label(words: str, size: int, back: Colour, alpha: float, bold: bool) -> tuple[Layer, float, float]:
    """A chip, kept since most frames show the same ones, with its width and height."""
    width, height = drawing.text_width(words, size, bold) + 1.1 * size, 1.7 * size
    sheet = np.zeros((int(height) + 2, int(width) + 2, 4), np.float32)
    _write(sheet, 0, 0, words, size, back, alpha, bold)
    return Layer.of(sheet), width, height


def _write(
    image: Image | Sheet,
    x: int,
    y: int,
    words: str,
    size: int,
    back: Colour,
    alpha: float,
    bold: bool,
    counts: bool = False,
) -> float:
    """Draw a chip; returns where it ends on the right."""
    right, height = x + drawing.text_width(words, size, bold, counts) + 1.1 * size, 1.7 * size
    drawing.fill(image, (x, y, right, y + height), back, 0.4 * size, alpha)
    drawing.text(image, x + 0.55 * size, y + height / 2, words, size, WHITE, bold, counts)
    return right


def _tag(image: Image, face: FaceResult, box: Box, style: _Style) -> Box:
    """Track id and baseline on the upper left corner of the box, inside it if there is no room above."""
    gap, height = 0.4 * style.text_px, 1.7 * style.text_px
    x, y = box[0], box[1] - height - gap
    if y < style.top_px:
        x, y = x + gap, max(box[1], style.top_px) + gap
    return _chip(image, x, y, f"face {face.track_id}{_BASELINE[face.baseline]}", style.text_px, style.colour(face), 0.9)


def _panel(image: Image, face: FaceResult, box: Box, taken: list[Box], style: _Style) -> Box:
    """A translucent panel of bars beside the face; returns where it is."""
    if not face.aus:
        return box
    width, rows = image.shape[1], len(face.aus)
    size = max(6, min(style.text_px, int((style.bottom_px - style.top_px) / (1.4 * rows + 2))))
    names = tuple(style.model.label(code) for code in face.aus)
    limits = (0.6 * size, style.top_px, width - 0.6 * size, style.bottom_px)
    for bar in (5.0 * size, 3.7 * size, 2.4 * size):
        panel = Panel(names, size, bar, style.colour(face))
        x, y, covered = _place(panel.extent_px, box, taken, limits)
        if not covered:
            break
    x, y = round(x), round(y)  # as a chip
    panel.draw(image, x, y, [*face.aus.values()])
    return x, y, x + panel.extent_px[0], y + panel.extent_px[1]


def _place(extent: tuple[float, float], box: Box, taken: list[Box], limits: Box) -> tuple[float, float, float]:
    """Where a panel covers least: right of the box, else left, below or above it.

    Returns:
        x and y of its corner, and the area in square pixels of `taken` that it covers there.
    """
    (wide, high), gap = extent, limits[0]
    beside = ((box[2] + gap, box[1]), (box[0] - gap - wide, box[1]))
    over = ((box[0], box[3] + gap), (box[0], box[1] - 4 * gap - high))
    spots = []
    for x, y in beside + over:
        x, y = max(limits[0], min(x, limits[2] - wide)), max(limits[1], min(y, limits[3] - high))
        overlaps = ((min(x + wide, x1) - max(x, x0), min(y + high, y1) - max(y, y0)) for x0, y0, x1, y1 in taken)
        spots.append((x, y, sum(max(0.0, across) * max(0.0, down) for across, down in overlaps)))
    return min(spots, key=lambda spot: spot[2])


def _status(image: Image, result: FrameResult, style: _Style) -> None:
    """At the bottom: frame, time, "no face", what the model was trained on. On top: a warning for untrained models."""
    width, size, top, gap = image.shape[1], style.text_px, style.bottom_px, 0.5 * style.text_px
    words = f"frame {result.index}   {result.timestamp_s:.2f} s"
    right = _write(image, round(gap), round(top), words, size, DARK, 0.62, bold=False, counts=True)
    if not result.faces:
        _, _, right, _ = _chip(image, right + gap, top, "no face", size, _AMBER, 0.9)
    if not result.model.trained:
        words = "UNTRAINED MODEL - scores mean nothing"
        size, length = _fitted(words, round(1.15 * size), 0.94 * width, bold=True)
        _chip(image, (width - length) / 2, gap, words, size, _RED, 0.92)
    elif result.model.note:
        room = width - right - 2 * gap
        size, length = _fitted(result.model.note, size, room, bold=False)
        y = top if length <= room else top - 2 * size  # a picture too narrow for one line has two
        _chip(image, width - length - gap, y, result.model.note, size, DARK, 0.62, bold=False)


def _fitted(words: str, size: int, width: float, bold: bool) -> tuple[int, float]:
    """The greatest text size from 6 to `size` at which a chip is at most `width` pixels wide, and its width."""
    for smaller in range(size, 5, -1):
        length = drawing.text_width(words, smaller, bold) + 1.1 * smaller
        if length <= width:
            return smaller, length
    return 6, drawing.text_width(words, 6, bold) + 6.6
