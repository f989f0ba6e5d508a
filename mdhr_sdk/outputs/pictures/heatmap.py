"""Stills as a heat map: rows are faces, columns are action units, cells are probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...results import FaceResult, FrameResult, ModelInfo
from .style import GAP, HEAD_IN, INK, LEFT, MUTED, RIGHT, TRACKS, au_name, draw_title, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

ROW_IN, NAMES_IN, FOOT_IN = 0.42, 0.75, 0.3
MAX_ROWS = 400  # the tallest page that image formats and viewers still take
LABEL_LENGTH = 27


def heatmap_height(frames: Sequence[FrameResult]) -> float:
    """Inches that the heat map of these stills takes."""
    return HEAD_IN + NAMES_IN + ROW_IN * len(_rows(frames)) + FOOT_IN


def draw_heatmap(panel: SubFigure, height_in: float, frames: Sequence[FrameResult], codes: Sequence[str]) -> None:
    """Draw the faces of stills: darker for a higher probability, bold and framed where the AU occurs."""
    rows = _rows(frames)
    if len(rows) > MAX_ROWS:
        raise InputError(
            f"a heat map holds up to {MAX_ROWS} faces, and these stills have {len(rows)}; plot a slice of them"
        )
    top, bottom = 1 - (HEAD_IN + NAMES_IN) / height_in, FOOT_IN / height_in
    axes = panel.add_axes((LEFT, bottom, RIGHT - LEFT, top - bottom))
    _draw_cells(axes, rows, codes)
    _draw_names(axes, codes, frames[0].model)
    several = len(frames) > 1
    for place, (frame, face) in enumerate(rows):
        words = [shortened(frame.source, LABEL_LENGTH)] if several else []
        words += [f"face {face.track_id}"] if face and (not several or len(frame.faces) > 1) else []
        label = "  ".join(words) or "no face"
        axes.text(-0.15, place, label, ha="right", va="center", color=INK, fontsize=9.5, parse_math=False)
    draw_title(panel, height_in, f"{len(frames)} images" if several else frames[0].source, frames[0].model)


def _rows(frames: Sequence[FrameResult]) -> list[tuple[FrameResult, FaceResult | None]]:
    """One row per face, and one for an image without a face."""
    return [(frame, face) for frame in frames for face in frame.faces or (None,)]


def _draw_cells(axes: Axes, rows: list[tuple[FrameResult, FaceResult | None]], codes: Sequence[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    shades = LinearSegmentedColormap.from_list("mdhr", ("#f1f5f9", TRACKS[0], "#1e3a8a"))
    columns = max(1, len(codes))
    values = np.full((len(rows), columns), np.nan)
    for place, (_, face) in enumerate(rows):
        if face is None:
            axes.add_patch(Rectangle((0, place - 0.5), columns, 1, **GAP))
            note = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.3"}
            axes.text(
                columns / 2, place, "no face found", ha="center", va="center", color=MUTED, fontsize=9.5, bbox=note
            )
            continue
        for column, code in enumerate(codes):
            score = face[code]
            values[place, column] = score.probability
            colour, weight = ("white" if score.probability > 0.45 else INK), ("bold" if score.occurrence else "normal")
            words = f"{score.probability:.2f}"
            axes.text(column + 0.5, place, words, ha="center", va="center", color=colour, weight=weight, fontsize=9.5)
            if score.occurrence:
                box = Rectangle((column + 0.06, place - 0.42), 0.88, 0.84, fill=False, edgecolor=INK, linewidth=1.3)
                axes.add_patch(box)
    edges = np.arange(columns + 1), np.arange(len(rows) + 1) - 0.5
    axes.pcolormesh(*edges, values, cmap=shades, vmin=0, vmax=1, edgecolors="white", linewidth=2, zorder=0.5)
    axes.set(xlim=(0, columns), ylim=(len(rows) - 0.5, -0.5))
    axes.set_axis_off()


def _draw_names(axes: Axes, codes: Sequence[str], model: ModelInfo) -> None:
    """Code and name above each column."""
    title: dict[str, Any] = {"color": INK, "fontsize": min(10.0, 130 / max(1, len(codes))), "weight": "bold"}
    for column, code in enumerate(codes):
        name = au_name(code).replace(" ", "\n")
        at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        axes.annotate(model.label(code), (column + 0.5, 1), (0, 42), va="bottom", **title, **at)
        axes.annotate(name, (column + 0.5, 1), (0, 39), va="top", color=MUTED, fontsize=8, **at)
