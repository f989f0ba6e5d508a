"""The panel of scores beside a face."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from . import drawing
from .drawing import Box, Colour, Image, Layer

WHITE: Colour = (255, 255, 255)
DARK: Colour = (28, 20, 16)
_TROUGH: Colour = (92, 80, 72)
_QUIET: Colour = (184, 172, 162)


@dataclass(frozen=True)
class Panel:
    """A row for each AU: its name, and a bar as long as its score.

    Attributes:
        names: of the AUs.
        occurs: which of them occur: those are in the track's colour, the others grey.
        size_px: of the text.
        bar_px: length of the bar of a score of 1.
        colour: of the track.
    """

    names: tuple[str, ...]
    occurs: tuple[bool, ...]
    size_px: int
    bar_px: float
    colour: Colour

    @property
    def extent_px(self) -> tuple[float, float]:
        """Width and height."""
        pad = 0.6 * self.size_px
        return self._start_px + self.bar_px + pad, self._row_px * len(self.names) + 1.2 * pad

    def draw(self, image: Image, x: int, y: int, probabilities: Iterable[float]) -> None:
        """Draw it with its corner on a pixel; probabilities in [0, 1]."""
        drawing.lay(image, x, y, _empty(self))
        for row, (probability, occurs) in enumerate(zip(probabilities, self.occurs, strict=True)):
            length = round(4 * self.bar_px * min(1.0, max(0.0, probability))) / 4  # a shape that has been drawn before
            if length > 0.5:
                box = self._bar(row, length)
                box = (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
                drawing.fill(image, box, self.colour if occurs else _QUIET, 0.24 * self.size_px)

    @cached_property
    def _start_px(self) -> float:
        """Where the bars start."""
        return max(drawing.text_width(name, self.size_px, True) for name in self.names) + 1.2 * self.size_px

    @property
    def _row_px(self) -> int:
        return int(1.4 * self.size_px)  # whole, so that all rows have the same shapes

    def _middle(self, row: int) -> float:
        return 0.36 * self.size_px + (row + 0.5) * self._row_px

    def _bar(self, row: int, length: float) -> Box:
        middle, half = self._middle(row), 0.24 * self.size_px
        return self._start_px, middle - half, self._start_px + length, middle + half


@lru_cache(maxsize=16)
def _empty(panel: Panel) -> Layer:
    """The panel without bars, which one frame after another has."""
    width, height = panel.extent_px
    size = panel.size_px
    sheet = np.zeros((int(height) + 2, int(width) + 2, 4), np.float32)
    drawing.fill(sheet, (0, 0, width, height), DARK, 0.8 * size, 0.62)
    drawing.fill(sheet, (0, 0, 0.35 * size, height), panel.colour, 0.17 * size)  # whose panel it is
    for row, (name, occurs) in enumerate(zip(panel.names, panel.occurs, strict=True)):
        drawing.text(sheet, 0.6 * size, panel._middle(row), name, size, WHITE if occurs else _QUIET, occurs)
        drawing.fill(sheet, panel._bar(row, panel.bar_px), _TROUGH, 0.24 * size, 0.8)
    return Layer.of(sheet)
