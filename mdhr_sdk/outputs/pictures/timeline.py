"""Action units over time, one row each; stills as a heat map."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...atomic import whole
from ...ending import at_work
from ...errors import InputError, OutputError
from ...results import FrameResult, ModelInfo
from .heatmap import draw_heatmap, heatmap_height
from .series import MOST_INTENSITY, Series, Values, reduced, spread, spread_flags, spread_time
from .style import (
    FAINT,
    GAP,
    HEAD_IN,
    INK,
    LEFT,
    MARGIN,
    MUTED,
    RIGHT,
    WIDTH_IN,
    au_name,
    draw_title,
    plain_texts,
    track_colour,
)
from .trace import Trace, common_codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.textpath import TextPath

FIGURES = (".png", ".pdf", ".svg")
ROW_IN, FOOT_IN = 0.46, 0.65
COLUMNS = 1500  # points along the time axis that the page can show
MAX_SOURCES, MAX_LEGEND = 12, 8
TOP, PITCH = 1.04, 1.27  # where a row ends above its 0, and where the next one begins
LINES: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "zorder": 0.5}
NEUTRAL: dict[str, Any] = {"color": "#e2e8f0", "linewidth": 0}
INTENSITY: dict[str, Any] = {"color": INK, "linewidth": 0.9, "zorder": 3.5}


def draw_timeline(results: Sequence[FrameResult]) -> Figure:
    """Draw the scores of a source, a block below another for several sources.

    A video has a row per AU: the probability as a curve in [0, 1], filled solid where the AU occurs; a colour per
    track; a dark line is the intensity, 5 at the top of the row; hatched where no face was found, grey in the neutral
    seconds that later scores are relative to. Sources of a single frame (stills) become one heat map of faces x AUs.
    Long videos keep their peaks: each dot of the page shows the least and the greatest of its frames.

    Args:
        results: frames; those of one source in order of time.

    Returns:
        A figure that pyplot does not know; `figure.savefig(path)` writes it. A video has one pair of axes, in which
        each row is `PITCH` above the next. Its vertical lines do not follow a change of limits.

    Raises:
        InputError: there is no frame, faces carry different AUs, or there are too many videos or faces for one figure.
    """
    if not results:
        raise InputError("a timeline needs at least one frame, and there is none; check that the source was read")
    sets = {tuple(face.aus) for frame in results for face in frame.faces}
    return _figure(_blocks(results), common_codes(sets, results[0].model))


def draw_trace(trace: Trace) -> Figure:
    """As `draw_timeline`, of one source whose frames are gone."""
    if trace.frames < 2:
        return draw_timeline(() if trace.first is None else (trace.first,))
    return _figure([trace], trace.codes)


@plain_texts()
def _figure(blocks: Sequence[Trace | Sequence[FrameResult]], codes: Sequence[str]) -> Figure:
    """A panel below another: of a video its trace, of stills their frames."""
    from matplotlib.figure import Figure

    video_in = HEAD_IN + ROW_IN * max(1, len(codes)) + FOOT_IN
    heights = [video_in if isinstance(block, Trace) else heatmap_height(block) for block in blocks]
    figure = Figure(figsize=(WIDTH_IN, sum(heights)), dpi=120, facecolor="white")
    panels = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, height, block in zip(panels, heights, blocks, strict=True):
        if isinstance(block, Trace):
            _draw_video(panel, height, block, codes)
        else:
            draw_heatmap(panel, height, block, codes)
    return figure


@plain_texts()
def save_timeline(results: Sequence[FrameResult] | Trace, path: Path) -> Figure:
    """Draw the timeline and write it whole to `path`, as PNG, PDF or SVG by its suffix; returns the figure."""
    if path.suffix.lower() not in FIGURES:
        raise OutputError(f"a plot is one of {', '.join(FIGURES)}, but '{path.name}' is not; change the suffix")
    figure = draw_trace(results) if isinstance(results, Trace) else draw_timeline(results)
    with whole(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in other letters is drawn as boxes
        if path.suffix.lower() == ".png":
            _write_png(figure, part)
        else:
            figure.savefig(part)
    return figure


@at_work()
def _write_png(figure: Figure, path: Path) -> None:
    """As `savefig`, in half the time for what follows the drawing."""
    import cv2
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    _, data = cv2.imencode(".png", cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR))
    path.write_bytes(data.tobytes())


def _blocks(results: Sequence[FrameResult]) -> list[Trace | Sequence[FrameResult]]:
    """A trace of each video, and the frames of all stills."""
    sources: dict[str, list[FrameResult]] = {}
    for name, frames in groupby(results, key=lambda frame: frame.source):
        sources.setdefault(name, []).extend(frames)
    videos = [frames for frames in sources.values() if len(frames) > 1]
    stills = [frame for frames in sources.values() if len(frames) == 1 for frame in frames]
    if len(videos) > MAX_SOURCES:
        raise InputError(
            f"a figure holds up to {MAX_SOURCES} videos, and these results have {len(videos)}; "
            "select one with results.for_source(name)"
        )
    return [*map(Trace, videos), *([stills] if stills else [])]


def _draw_video(panel: SubFigure, height_in: float, trace: Trace, codes: Sequence[str]) -> None:
    """One pair of axes for all rows, since each pair of its own takes as long as all curves."""
    tracks, absent = trace.series()
    per_bin = -(-2 * len(absent.time_s) // COLUMNS)
    absent = reduced(absent, per_bin)
    bases = PITCH * np.arange(max(1, len(codes)))[::-1]  # where each row's 0 is
    bottom, top = FOOT_IN / height_in, 1 - HEAD_IN / height_in
    axes = panel.add_axes((LEFT, bottom, RIGHT - LEFT, top - bottom))
    assert trace.first is not None
    axes.set(xlim=(trace.begin_s, max(trace.end_s, trace.begin_s + 1e-3)), ylim=(0, bases[0] + TOP))
    _draw_rows(axes, bases, codes, trace.first.model)
    if absent.occurrence.any():  # frames without any face
        time_s, value = spread_time(absent.time_s), spread(absent.probability[:, 0])
        axes.fill_between(*_stacked(bases, time_s, [value] * len(bases)), zorder=1.5, **GAP)
    if trace.neutral_s is not None:
        begin_s, end_s = trace.neutral_s
        axes.barh(bases, end_s - begin_s, TOP, begin_s, align="edge", zorder=1, **NEUTRAL)
    if codes:
        for track, series in tracks.items():
            _draw_curves(axes, bases, reduced(series, per_bin), track, alone=len(tracks) == 1)
    draw_title(panel, height_in, trace.first.source, trace.first.model)
    strong = any(np.isfinite(series.intensity).any() for series in tracks.values())
    shown = _Shown(list(tracks), trace.left_out, bool(absent.occurrence.any()), trace.neutral_s is not None, strong)
    _draw_legend(panel, height_in, shown)


def _draw_rows(axes: Axes, bases: Values, codes: Sequence[str], model: ModelInfo) -> None:
    """Each row's ground, its names and its scale, and the axis of time below the last one."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_facecolor("none")
    axes.yaxis.set_visible(False)
    axes.tick_params(axis="x", length=0, labelsize=9, labelcolor=MUTED, pad=6)
    axes.set_xlabel("time (s)", fontsize=9.5, color=MUTED, labelpad=6)
    ticks = np.asarray(axes.get_xticks())
    across: dict[str, Any] = {"transform": axes.get_yaxis_transform()}  # x from 0 to 1, y as the curves
    axes.barh(bases, 1, TOP, align="edge", color="#f8fafc", zorder=0, **across)
    axes.vlines(np.tile(ticks, len(bases)), bases.repeat(len(ticks)), bases.repeat(len(ticks)) + TOP, **LINES)
    axes.hlines(bases, 0, 1, color="#cbd5e1", linewidth=0.8, clip_on=False, **across)
    for base, code in zip(bases, codes, strict=False):
        beside: dict[str, Any] = {"y": base + 0.42 * TOP, "va": "center", **across}
        axes.text(-0.012, s=au_name(code), ha="right", color=MUTED, fontsize=9, **beside)
        axes.text(
            (MARGIN - LEFT) / (RIGHT - LEFT), s=model.label(code), color=INK, fontsize=10, weight="bold", **beside
        )
    _draw_scale(axes, bases)


def _draw_scale(axes: Axes, bases: Values) -> None:
    """A small 0 and 1 beside each row, as shapes: each text of its own takes a millisecond."""
    from matplotlib.collections import PathCollection
    from matplotlib.transforms import Affine2D

    points = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans
    for level in (0, 1):
        places = np.column_stack((np.full(len(bases), 1.006), bases + level * TOP))
        across: Any = axes.get_yaxis_transform()
        digits: Any = PathCollection([_digit(level)], offsets=places, offset_transform=across, transform=points)
        digits.set(facecolor="#94a3b8", linewidth=0, clip_on=False)
        axes.add_collection(digits, autolim=False)


@cache
def _digit(level: int) -> TextPath:
    """In points: 0 stands on its place, 1 hangs from it."""
    from matplotlib.textpath import TextPath

    height = TextPath((0, 0), str(level), size=6.5).get_extents().y1
    return TextPath((0, 1.2 if level == 0 else -height), str(level), size=6.5)


def _draw_curves(axes: Axes, bases: Values, series: Series, track: int, alone: bool) -> None:
    """A track's curve in every row."""
    colour, columns = track_colour(track), range(series.probability.shape[1])
    curves = [spread(series.probability[:, row]) for row in columns]
    occurs = np.concatenate([np.append(spread_flags(series.occurrence[:, row]), False) for row in columns])
    time_s, base, value = _stacked(bases, spread_time(series.time_s), curves)
    axes.fill_between(time_s, base, value, color=colour, alpha=0.16, linewidth=0, zorder=2)
    solid = 0.85 if alone else 0.6
    axes.fill_between(time_s, base, value, where=occurs, color=colour, alpha=solid, linewidth=0, zorder=2.5)
    axes.plot(time_s, value, color=colour, linewidth=1.2, solid_joinstyle="round", zorder=3)
    if np.isfinite(series.intensity).any():
        curves = [spread(series.intensity[:, row] / MOST_INTENSITY) for row in columns]
        time_s, _, value = _stacked(bases, spread_time(series.time_s), curves)
        axes.plot(time_s, value, **INTENSITY)


def _stacked(bases: Values, time_s: Values, curves: Sequence[Values]) -> tuple[Values, Values, Values]:
    """Curves of (T,) values, one a row, as one with gaps between: times, each row's base, and the values above it."""
    ends = [np.append(base + curve, np.nan) for base, curve in zip(bases, curves, strict=True)]
    return np.tile(np.append(time_s, time_s[-1]), len(curves)), bases.repeat(len(time_s) + 1), np.concatenate(ends)


@dataclass(frozen=True)
class _Shown:
    """What a legend tells of: tracks, how many more have no curve, and whether there are other kinds of marks."""

    tracks: list[int]
    left_out: int
    gaps: bool
    neutral: bool
    strong: bool


def _draw_legend(panel: SubFigure, height_in: float, shown: _Shown) -> None:
    """What the colours mean: tracks when there are several, else curve and decision; hatching and neutral seconds."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D]
    tracks, more = shown.tracks, len(shown.tracks) + shown.left_out - MAX_LEGEND
    if len(tracks) == 1:
        colour = track_colour(tracks[0])
        handles = [Patch(color=colour, alpha=0.3, lw=0, label="probability"), Patch(color=colour, lw=0, label="occurs")]
    else:
        handles = [Patch(color=track_colour(track), lw=0, label=f"face {track}") for track in tracks[:MAX_LEGEND]]
    if more > 0:
        told = f", {shown.left_out:,} brief ones not drawn" if shown.left_out else ""
        handles.append(Patch(color="none", label=f"and {more:,} more{told}"))
    if shown.gaps:
        handles.append(Patch(label="no face", **GAP))
    if shown.neutral:
        handles.append(Patch(label="neutral reference", **NEUTRAL))
    if shown.strong:
        handles.append(Line2D([], [], label="intensity, 0 to 5", **INTENSITY))
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
