"""The paper's figures from your own model and data: labels, adaptive weights, and the graph on the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...aus import LabelSet
from ...errors import InputError, number_of
from ...outputs.pictures.style import INK, MUTED, TRACKS, UNTRAINED, WARNING, au_name
from .inspection import Inspection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Crops = NDArray[np.uint8]
MOST_EDGES, MOST_LABELS = 20, 6  # of a face, the strongest

# Where an AU shows in an aligned crop, (x, y) from its upper left corner in sides of the crop; one side of the face
# where both would do, so that names stay apart.
PLACES: dict[int, tuple[float, float]] = {
    1: (0.42, 0.17), 2: (0.22, 0.20), 4: (0.56, 0.23), 5: (0.72, 0.22), 6: (0.20, 0.42), 7: (0.80, 0.33),
    9: (0.45, 0.41), 10: (0.58, 0.53), 11: (0.36, 0.50), 12: (0.27, 0.60), 14: (0.77, 0.62), 15: (0.34, 0.73),
    16: (0.60, 0.76), 17: (0.50, 0.84), 18: (0.50, 0.60), 20: (0.72, 0.70), 22: (0.42, 0.66), 23: (0.63, 0.68),
    24: (0.46, 0.64), 25: (0.50, 0.69), 26: (0.60, 0.80), 27: (0.50, 0.78), 28: (0.42, 0.72), 43: (0.30, 0.30),
    45: (0.33, 0.27),
}  # fmt: skip


def draw_distribution(labels: NDArray[np.int8], label_set: LabelSet) -> Figure:
    """Frames in which each AU occurs and does not (supplement figures 1 and 2); unknown ones where there are any.

    Args:
        labels: (n, N) in {0, 1, -1}.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), dpi=130, facecolor="white", layout="constrained")
    axes, known = figure.subplots(), (labels >= 0).sum(axis=0)
    places = np.arange(len(label_set.aus))
    kinds = ((1, "occurs", TRACKS[0]), (0, "does not", "#cbd5e1"), (-1, "unknown", "#f1f5f9"))
    shown = [(value, name, colour) for value, name, colour in kinds if (labels == value).any()]
    width = 0.84 / len(shown)
    for rank, (value, name, colour) in enumerate(shown):
        numbers = (labels == value).sum(axis=0)
        bars = axes.bar(places + (rank - (len(shown) - 1) / 2) * width, numbers, width * 0.94, label=name, color=colour)
        if value == 1:
            shares = [f"{100 * number / max(1, all_):.0f} %" for number, all_ in zip(numbers, known, strict=True)]
            axes.bar_label(bars, shares, color=INK, fontsize=8.5, padding=2)
    names = [f"{code}\n{au_name(code).replace(' ', chr(10))}" for code in label_set.codes]
    axes.set_xticks(places, names, fontsize=8, color=INK)
    axes.set_ylabel("frames", color=MUTED)
    axes.set_title(
        f"{label_set.name}: {number_of(len(labels), 'frame')}", loc="left", color=INK, fontsize=12, weight="bold"
    )
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(length=0, colors=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 1.12), ncols=3)
    return figure


def draw_weights(
    crops: Crops, inspection: Inspection, frames: Sequence[int], scales: Sequence[int], trained: bool, note: str = ""
) -> Figure:
    """Adaptive weights of every scale over the face (figure 3), one row per frame.

    Args:
        crops: (T, S, S, 3) uint8 BGR.
        frames: which of the T.
        scales: numbers of the L scales.
        trained: if not, the figure says so.
        note: what else to say about the weights.
    """
    if inspection.weights is None:
        raise InputError(
            "the model has no adaptive weights; take one with mfd, more than one scale and fusion adaptive"
        )
    chosen = inspection.weights[list(frames)]
    low, high = float(chosen.min()), float(chosen.max())
    columns = len(scales) + 1
    figure, grid = _grid(len(frames), columns)
    drawn: Any = None
    for row, frame in enumerate(frames):
        face = cv2.cvtColor(crops[frame], cv2.COLOR_BGR2RGB)
        grid[row][0].imshow(face)
        grid[row][0].set_ylabel(f"frame {frame}", color=MUTED, fontsize=9)
        for column, scale in enumerate(scales, start=1):
            axes = grid[row][column]
            axes.imshow(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
            extent = (-0.5, face.shape[1] - 0.5, face.shape[0] - 0.5, -0.5)
            values = inspection.weights[frame, column - 1]
            look: dict[str, Any] = {"cmap": "turbo", "alpha": 0.55, "interpolation": "bicubic"}
            drawn = axes.imshow(values, extent=extent, vmin=low, vmax=high, **look)
            if row == 0:
                axes.set_title(f"scale {scale}", color=INK, fontsize=10)
    bar = figure.colorbar(drawn, ax=[axes for line in grid for axes in line], fraction=0.02, pad=0.015)
    bar.set_label("weight; the scales sum to 1", color=MUTED)
    bar.outline.set_visible(False)
    return _said(figure, trained, note)


def draw_graph(
    crops: Crops,
    inspection: Inspection,
    frames: Sequence[int],
    label_set: LabelSet,
    thresholds: Sequence[float],
    trained: bool,
    note: str = "",
) -> Figure:
    """AUs on the face, filled where they are predicted, with the edges of the graph and their weights (figure 4).

    Args: as `draw_weights`; `thresholds` one per AU.
    """
    if inspection.attention is None:
        raise InputError("the model has no graph; take one with graph=True")
    columns = 2 if len(frames) > 1 else 1
    figure, grid = _grid(-(-len(frames) // columns), columns, inches=4.6)
    cells = [axes for row in grid for axes in row]
    for axes, frame in zip(cells, frames, strict=False):
        axes.imshow(cv2.cvtColor(crops[frame], cv2.COLOR_BGR2RGB))
        axes.set_title(f"frame {frame}", color=INK, fontsize=10)
        side = crops.shape[1]
        places = {index: np.array(PLACES[au]) * side for index, au in enumerate(label_set.aus)}
        _draw_edges(axes, places, inspection.attention[frame])
        for index, code in enumerate(label_set.codes):
            score = float(inspection.scores[frame, index])
            _draw_node(axes, places[index], f"{code} {score:.2f}", score >= thresholds[index])
    return _said(figure, trained, note)


def _said(figure: Figure, trained: bool, note: str) -> Figure:
    if not trained:
        figure.suptitle(UNTRAINED, color=WARNING, fontsize=10, weight="bold")
    elif note:
        figure.suptitle(note, color=MUTED, fontsize=9)
    return figure


def _draw_edges(axes: Axes, places: dict[int, Any], attention: NDArray[np.float32]) -> None:
    """Arrows from the AU that is listened to, the strongest with their weights; self-loops are left out."""
    pairs = [(float(attention[n, m]), m, n) for n in places for m in places if m != n and attention[n, m] > 0]
    for rank, (weight, m, n) in enumerate(sorted(pairs, reverse=True)[:MOST_EDGES]):
        style: dict[str, Any] = {"arrowstyle": "-|>", "shrinkA": 5, "shrinkB": 5, "color": "#fde047"}
        style |= {"linewidth": 0.5 + 3 * weight, "alpha": min(1.0, 0.35 + weight)}
        axes.annotate("", places[n], places[m], arrowprops=style)
        if rank < MOST_LABELS:
            x, y = 0.35 * places[m] + 0.65 * places[n]
            axes.text(x, y, f"{weight:.2f}", color="#fde047", fontsize=7.5, ha="center", va="center", **_halo())


def _draw_node(axes: Axes, place: Any, words: str, active: bool) -> None:
    axes.plot(*place, "o", markersize=7, markerfacecolor="white" if active else "none", markeredgecolor="white")
    axes.annotate(
        words, place, (0, 6), textcoords="offset points", ha="center", va="bottom", color="white",
        fontsize=7, weight="bold" if active else "normal", **_halo(),
    )  # fmt: skip


def _halo() -> dict[str, Any]:
    from matplotlib.patheffects import withStroke

    return {"path_effects": [withStroke(linewidth=1.8, foreground="#0f172a")]}


def _grid(rows: int, columns: int, inches: float = 1.9) -> tuple[Figure, list[list[Axes]]]:
    """A figure of axes without ticks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(inches * columns + 0.6, inches * rows + 0.5), dpi=150, layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure, grid.tolist()
