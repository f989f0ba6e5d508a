"""Action units over time, one row each; stills as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import whole
from ..errors import InputError, OutputError
from ..results import FrameResult, ModelInfo
from .heatmap import draw_heatmap, heatmap_height
from .series import Series, absence, codes_of, reduced, spread, spread_flags, spread_time, track_series
from .style import FAINT, GAP, HEAD_IN, INK, LEFT, MARGIN, MUTED, RIGHT, WIDTH_IN, au_name, draw_title, track_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FIGURES = (".png", ".pdf", ".svg")
ROW_IN, FOOT_IN = 0.46, 0.65
COLUMNS = 1500  # points along the time axis that the page can show
MAX_SOURCES, MAX_LEGEND = 12, 8
NEUTRAL: dict[str, Any] = {"color": "#e2e8f0", "linewidth": 0}


def draw_timeline(results: Sequence[FrameResult]) -> Figure:
    """Draw the scores of a source, a block below another for several sources.

    A video has a row per AU: the probability as a curve in [0, 1], filled solid where the AU occurs; a colour per
    track; hatched where no face was found, grey in the neutral seconds that later scores are relative to. Sources of a
    single frame (stills) become one heat map of faces x AUs. Long videos keep their peaks: each dot of the page shows
    the least and the greatest of its frames.

    Args:
        results: frames; those of one source in order of time.

    Returns:
        A figure that pyplot does not know; `figure.savefig(path)` writes it. Its vertical lines do not follow a change
        of limits.

    Raises:
        InputError: there is no frame, faces carry different AUs, or there are too many videos or faces for one figure.
    """
    from matplotlib.figure import Figure

    if not results:
        raise InputError("a timeline needs at least one frame, and there is none; check that the source was read")
    blocks = _blocks(results)
    codes = codes_of(results)
    heights = [
        heatmap_height(block) if still else HEAD_IN + ROW_IN * max(1, len(codes)) + FOOT_IN for still, block in blocks
    ]
    figure = Figure(figsize=(WIDTH_IN, sum(heights)), dpi=120, facecolor="white")
    panels = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, height, (still, block) in zip(panels, heights, blocks, strict=True):
        if still:
            draw_heatmap(panel, height, block, codes)
        else:
            _draw_video(panel, height, block, codes)
    return figure


def save_timeline(frames: Sequence[FrameResult], path: Path) -> Figure:
    """Draw the timeline and write it whole to `path`, as PNG, PDF or SVG by its suffix; returns the figure."""
    if path.suffix.lower() not in FIGURES:
        raise OutputError(f"a plot is one of {', '.join(FIGURES)}, but '{path.name}' is not; change the suffix")
    figure = draw_timeline(frames)
    with whole(path) as part:
        figure.savefig(part)
    return figure


def _blocks(results: Sequence[FrameResult]) -> list[tuple[bool, list[FrameResult]]]:
    """(whether stills, frames): one block per video, and one for all stills."""
    sources: dict[str, list[FrameResult]] = {}
    for name, frames in groupby(results, key=lambda frame: frame.source):
        sources.setdefault(name, []).extend(frames)
    videos = [(False, frames) for frames in sources.values() if len(frames) > 1]
    stills = [frame for frames in sources.values() if len(frames) == 1 for frame in frames]
    if len(videos) > MAX_SOURCES:
        raise InputError(
            f"a figure holds up to {MAX_SOURCES} videos, and these results have {len(videos)}; "
            "select one with results.for_source(name)"
        )
    return videos + ([(True, stills)] if stills else [])


def _draw_video(panel: SubFigure, height_in: float, frames: list[FrameResult], codes: Sequence[str]) -> None:
    tracks = track_series(frames, codes)
    per_bin = -(-2 * len(frames) // COLUMNS)
    curves = {track: reduced(series, per_bin) for track, series in tracks.items()}
    absent = reduced(absence(frames), per_bin)
    rows = max(1, len(codes))
    grid = panel.add_gridspec(
        rows, 1, left=LEFT, right=RIGHT, top=1 - HEAD_IN / height_in, bottom=FOOT_IN / height_in, hspace=0.22
    )
    axes: list[Axes] = []
    neutral_s = [frame.timestamp_s for frame in frames if any(face.baseline == "neutral" for face in frame.faces)]
    for row in range(rows):
        axes.append(panel.add_subplot(grid[row], sharex=axes[0] if axes else None))
        _draw_row(axes[row], codes[row] if codes else "", frames[0].model, row == rows - 1)
        if absent.occurrence.any():  # frames without any face
            axes[row].fill_between(spread_time(absent.time_s), spread(absent.probability[:, 0]), zorder=1.5, **GAP)
        if neutral_s:
            axes[row].axvspan(neutral_s[0], neutral_s[-1], zorder=1, **NEUTRAL)
        if codes:
            for track, series in curves.items():
                _draw_curve(axes[row], series, row, track, alone=len(curves) == 1)
    times = np.array([frame.timestamp_s for frame in frames])
    axes[0].set_xlim(times.min(), max(times.max(), times.min() + 1e-3))
    for one in axes:  # lines where the last row has its ticks: ticks of their own would take most of the drawing's time
        one.vlines(axes[-1].get_xticks(), 0, 1.04, color=FAINT, linewidth=0.8, zorder=0.5)
    draw_title(panel, height_in, frames[0].source, frames[0].model)
    _draw_legend(panel, height_in, list(tracks), bool(absent.occurrence.any()), bool(neutral_s))


def _draw_row(axes: Axes, code: str, model: ModelInfo, last: bool) -> None:
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_visible(False)
    axes.xaxis.set_visible(last)
    axes.set_facecolor("#f8fafc")
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cbd5e1")
    axes.tick_params(axis="x", length=0, labelsize=9, labelcolor=MUTED, pad=6)
    beside: dict[str, Any] = {"transform": axes.transAxes, "va": "center"}
    axes.text(-0.012, 0.42, au_name(code), ha="right", color=MUTED, fontsize=9, **beside)
    axes.text(
        (MARGIN - LEFT) / (RIGHT - LEFT), 0.42, model.label(code), color=INK, fontsize=10, weight="bold", **beside
    )
    for level, align in ((0, "bottom"), (1, "top")):
        axes.text(1.006, level, str(level), transform=axes.transAxes, va=align, color="#94a3b8", fontsize=6.5)
    if last:
        axes.set_xlabel("time (s)", fontsize=9.5, color=MUTED, labelpad=6)


def _draw_curve(axes: Axes, series: Series, row: int, track: int, alone: bool) -> None:
    colour = track_colour(track)
    time_s, value = spread_time(series.time_s), spread(series.probability[:, row])
    occurs = spread_flags(series.occurrence[:, row])
    axes.fill_between(time_s, value, color=colour, alpha=0.16, linewidth=0, zorder=2)
    axes.fill_between(time_s, value, where=occurs, color=colour, alpha=0.85 if alone else 0.6, linewidth=0, zorder=2.5)
    axes.plot(time_s, value, color=colour, linewidth=1.2, solid_joinstyle="round", zorder=3)


def _draw_legend(panel: SubFigure, height_in: float, tracks: list[int], gaps: bool, neutral: bool) -> None:
    """What the colours mean: tracks when there are several, else curve and decision; hatching and neutral seconds."""
    from matplotlib.patches import Patch

    if len(tracks) == 1:
        colour = track_colour(tracks[0])
        handles = [Patch(color=colour, alpha=0.3, lw=0, label="probability"), Patch(color=colour, lw=0, label="occurs")]
    else:
        handles = [Patch(color=track_colour(track), lw=0, label=f"face {track}") for track in tracks[:MAX_LEGEND]]
    if len(tracks) > MAX_LEGEND:
        handles.append(Patch(color="none", label=f"and {len(tracks) - MAX_LEGEND} more"))
    if gaps:
        handles.append(Patch(label="no face", **GAP))
    if neutral:
        handles.append(Patch(label="neutral reference", **NEUTRAL))
    panel.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(RIGHT + 0.006, 1 - 0.90 / height_in),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=MUTED,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.4,
        borderpad=0,
    )
