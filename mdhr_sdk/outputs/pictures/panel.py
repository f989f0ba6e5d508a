"""The panel of scores beside a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby

import numpy as np

from ...results import AUScore
from . import drawing
from .drawing import Box, Colour, Image, Layer

WHITE: Colour = (255, 255, 255)
DARK: Colour = (28, 20, 16)
_TROUGH: Colour = (92, 80, 72)
_QUIET: Colour = (184, 172, 162)


@dataclass(frozen=True)
class Panel:
    """A row for each AU: its name, and a bar as long as its score, in the track's colour if the AU occurs.

    Attributes:
        names: of the AUs.
        size_px: of the text.
        bar_px: length of the bar of a score of 1.
        colour: of the track.
    """

    names: tuple[str, ...]
    size_px: int
    bar_px: float
    colour: Colour

    @property
    def extent_px(self) -> tuple[float, float]:
        """Width and height."""
        return self._start_px + self.bar_px + 0.6 * self.size_px, self._top_px(len(self.names)) + 0.36 * self.size_px

    def draw(self, image: Image, x: int, y: int, scores: Sequence[AUScore]) -> None:
        """Draw it; (x, y) is its upper left corner."""
        for occurs, group in groupby(range(len(scores)), lambda row: scores[row].occurrence):
            rows = [*group]
            first, last = rows[0], rows[-1]
            top = self._top_px(first) if first else 0
            end = self._top_px(last + 1) if last + 1 < len(scores) else None
            drawing.lay(image, x, y + top, _empty(self, occurs).rows(top, end))
        for row, score in enumerate(scores):
            length = self.bar_px * min(1.0, max(0.0, score.probability))
            length = round(4 * length) / 4  # a shape that has been drawn before
            if length > 0.5:
                box, left, top = self._shape(length)
                colour = self.colour if score.occurrence else _QUIET
                bar = drawing.filled(box, colour, 0.24 * self.size_px)
                drawing.lay(image, x + left, y + top + row * self._pitch_px, bar)

    @cached_property
    def _start_px(self) -> float:
        """Where the bars start."""
        return max(drawing.text_width(name, self.size_px, True) for name in self.names) + 1.2 * self.size_px

    def _top_px(self, row: int) -> int:
        """Where a row begins: a whole pixel, so that all rows have the same shapes and can be cut apart."""
        return round(0.36 * self.size_px) + row * self._pitch_px

    @cached_property
    def _pitch_px(self) -> int:
        return int(1.4 * self.size_px)

    def _middle(self, row: int) -> float:
        return (self._top_px(row) + self._top_px(row + 1)) / 2

    def _bar(self, row: int, length: float) -> Box:
        middle, half = self._middle(row), 0.24 * self.size_px
        return self._start_px, middle - half, self._start_px + length, middle + half

    def _shape(self, length: float) -> tuple[Box, int, int]:
        """The first row's bar, from a whole pixel of the panel, and that pixel's x and y."""
        x0, y0, x1, y1 = self._bar(0, length)
        left, top = math.floor(x0), math.floor(y0)
        return (x0 - left, y0 - top, x1 - left, y1 - top), left, top


@lru_cache(maxsize=32)
def _empty(panel: Panel, occurs: bool) -> Layer:
    """The panel without bars, kept for the next frames, as if all of its AUs occurred or none."""
    width, height = panel.extent_px
    size = panel.size_px
    sheet = np.zeros((int(height) + 2, int(width) + 2, 4), np.float32)
    drawing.fill(sheet, (0, 0, width, height), DARK, 0.8 * size, 0.62)
    drawing.fill(sheet, (0, 0, 0.35 * size, height), panel.colour, 0.17 * size)  # whose panel it is
    for row, name in enumerate(panel.names):
        drawing.text(sheet, 0.6 * size, panel._middle(row), name, size, WHITE if occurs else _QUIET, occurs)
        drawing.fill(sheet, panel._bar(row, panel.bar_px), _TROUGH, 0.24 * size, 0.8)
    return Layer.of(sheet)
