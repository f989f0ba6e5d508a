"""The colours, names and page that overlays and timelines share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ...aus import ACTION_UNITS, au_code
from ...errors import plain
from ...results import ModelInfo

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

TRACKS = ("#3b82f6", "#f97316", "#10b981", "#ec4899", "#8b5cf6", "#06b6d4", "#eab308", "#84cc16")
INK, MUTED, FAINT, WARNING = "#1e293b", "#64748b", "#e2e8f0", "#dc2626"
GAP: dict[str, Any] = {"facecolor": "white", "edgecolor": "#cbd5e1", "hatch": "/////", "linewidth": 0}
LETTERS = "    A, B, C: how reliable an AU is, A the most"
UNTRAINED = "untrained model: scores mean nothing"

WIDTH_IN, HEAD_IN = 11.0, 0.95  # of a figure, and of the head of each block in it
MARGIN, LEFT, RIGHT = 0.025, 0.215, 0.965  # where titles begin, plots begin and plots end: fractions of the width
TITLE_LENGTH = 64

_NAMES = {au_code(number): au.name for number, au in ACTION_UNITS.items()}


@contextmanager
def plain_texts() -> Iterator[None]:
    """Texts are drawn by matplotlib itself, whatever its settings say.

    It reads a `matplotlibrc` of the working directory, which may be somebody else's folder. That could have names of
    files given to LaTeX, a program that reads and writes files.
    """
    import matplotlib

    with matplotlib.rc_context({"text.usetex": False}):
        yield


def track_colour(track_id: int) -> str:
    """'#rrggbb' of a track; ids beyond the palette start over."""
    return TRACKS[track_id % len(TRACKS)]


def au_name(code: str) -> str:
    """'AU12' -> 'lip corner puller'; '' for a code that aus.py does not list."""
    return _NAMES.get(code, "")


def draw_title(panel: SubFigure, height_in: float, name: str, model: ModelInfo) -> None:
    """The file name, the model's tag, what the letters after AUs mean, and in red if the model is untrained."""
    first, second = 1 - 0.40 / height_in, 1 - 0.64 / height_in
    name = shortened(PurePath(name).name or name, TITLE_LENGTH)
    panel.text(MARGIN, first, name, fontsize=13.5, weight="bold", color=INK, parse_math=False)
    words = model.tag + (LETTERS if model.tiers else "")
    panel.text(MARGIN, second, words, fontsize=9.5, color=MUTED, parse_math=False)
    if not model.trained:
        panel.text(RIGHT, first, UNTRAINED, ha="right", color=WARNING, fontsize=11.5, weight="bold")


def shortened(name: str, length: int) -> str:
    """A file name as it may be shown; a long one without its middle, since beginnings and ends distinguish names."""
    name = plain(name)
    if len(name) <= length:
        return name
    half = (length - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
