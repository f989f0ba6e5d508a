"""The scores of a source over time as SVG, a row for each AU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...results import AUEvent, FrameResult
from ..pictures.series import MOST_INTENSITY, Series, reduced
from ..pictures.style import track_colour
from ..pictures.trace import Trace

WIDTH, HEIGHT, EVENT = 900, 34, 5  # of a row, and of the bars of events under it, in units of the drawing
POINTS = 1200  # most along the time axis
Across = Callable[[NDArray[np.float64] | float], NDArray[np.float64]]  # seconds to the place in a row


def draw_rows(frames: Sequence[FrameResult], codes: Sequence[str], events: Sequence[AUEvent]) -> dict[str, str]:
    """AU -> SVG of its row: each face's probability, solid where the AU occurs, intensity, and bars of its events."""
    begin_s, end_s = frames[0].timestamp_s, max(frames[-1].timestamp_s, frames[0].timestamp_s + 1e-3)
    drawn, absent = Trace(frames).series()
    per_bin = -(-2 * len(absent.time_s) // POINTS)
    tracks = {track: reduced(series, per_bin) for track, series in drawn.items()}

    def across(time_s: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.round((np.asarray(time_s) - begin_s) / (end_s - begin_s) * WIDTH, 1)

    rows = {}
    for place, code in enumerate(codes):
        parts = [part for track, one in tracks.items() for part in _curve(one, place, track_colour(track), across)]
        parts += [_bar(event, across) for event in events if event.au == code]
        rows[code] = _svg("".join(parts), HEIGHT + EVENT + 1)
    return rows


def draw_line(frames: Sequence[FrameResult], values: Sequence[float], limit: float) -> str:
    """SVG of one value a frame in [0, 1] over time, with a line at `limit`; gaps where it is NaN."""
    time_s = np.array([frame.timestamp_s for frame in frames])
    value = np.asarray(values, np.float64)[:, None]
    none = np.full_like(value, np.nan)
    series = reduced(Series(time_s, value, np.zeros(value.shape, bool), none), -(-2 * len(frames) // POINTS))
    span = max(time_s[-1] - time_s[0], 1e-3)
    x = np.round((series.time_s - time_s[0]) / span * WIDTH, 1)
    path = "".join(_path(x, series.probability[:, 0]))
    level = HEIGHT * (1 - limit)
    return _svg(
        f'<path d="M0,{level:.1f}H{WIDTH}" class="limit"/><path d="{path}" fill="none" stroke="#475569"/>', HEIGHT
    )


def _svg(content: str, height: int) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{content}</svg>'


def _curve(series: Series, place: int, colour: str, across: Across) -> Iterator[str]:
    x, value = across(series.time_s), series.probability[:, place]
    shown = np.isfinite(value)
    for begin, end in _runs(shown):
        points = "L".join(f"{a},{b}" for a, b in zip(x[begin:end], _down(value[begin:end]), strict=True))
        yield f'<path d="M{x[begin]},{HEIGHT}L{points}L{x[end - 1]},{HEIGHT}Z" fill="{colour}" opacity=".18"/>'
    for begin, end in _runs(shown & series.occurrence[:, place]):
        points = "L".join(f"{a},{b}" for a, b in zip(x[begin:end], _down(value[begin:end]), strict=True))
        yield f'<path d="M{x[begin]},{HEIGHT}L{points}L{x[end - 1]},{HEIGHT}Z" fill="{colour}" opacity=".75"/>'
    yield f'<path d="{"".join(_path(x, value))}" fill="none" stroke="{colour}"/>'
    if strong := "".join(_path(x, series.intensity[:, place] / MOST_INTENSITY)):
        yield f'<path d="{strong}" class="intensity"/>'


def _path(x: NDArray[np.float64], value: NDArray[np.float64]) -> Iterator[str]:
    for begin, end in _runs(np.isfinite(value)):
        points = zip(x[begin:end], _down(value[begin:end]), strict=True)
        yield "M" + "L".join(f"{a},{b}" for a, b in points)


def _down(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(HEIGHT * (1 - value), 1)


def _bar(event: AUEvent, across: Across) -> str:
    x0, x1 = (float(across(time_s)) for time_s in (event.onset_s, event.offset_s))
    colour = track_colour(event.track_id)
    size = f'x="{x0}" y="{HEIGHT + 1}" width="{max(x1 - x0, 1.5):.1f}" height="{EVENT}"'
    told = f"face {event.track_id}: {event.onset_s:.2f} to {event.offset_s:.2f} s, peak {event.peak_probability:.2f}"
    told += "" if event.peak_intensity is None else f", intensity {event.peak_intensity:.1f}"
    return f'<rect {size} fill="{colour}"><title>{told}</title></rect>'


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and beyond-last place of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
