"""Results as arrays over time, from which curves are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
MOST_INTENSITY = 5.0


@dataclass(frozen=True, eq=False)
class Series:
    """One track, from its first frame to its last.

    Attributes:
        time_s: (T,) float64, seconds.
        probability: (T, N) float64 in [0, 1], one column an AU; NaN where the track has no face.
        occurrence: (T, N) bool; False where the track has no face.
        intensity: (T, N) float64 in [0, 5]; NaN where the track has no face, and for AUs without one.
    """

    time_s: Values
    probability: Values
    occurrence: Flags
    intensity: Values


def reduced(series: Series, frames_per_bin: int) -> Series:
    """Each run of `frames_per_bin` frames as two points: the least and the greatest probability, in their order.

    So too with the intensity. An AU occurs in both if it occurs in any frame of the run; a run is a gap if all its
    frames are. So even the shortest peak shows on a curve that has more frames than the page has dots.
    """
    if frames_per_bin <= 2:
        return series
    length, width = series.probability.shape
    bins = -(-length // frames_per_bin)
    padding = ((0, bins * frames_per_bin - length), (0, 0))
    curves = (
        _pairs(np.pad(values, padding, constant_values=np.nan).reshape(bins, frames_per_bin, width))
        for values in (series.probability, series.intensity)
    )
    occurs = np.pad(series.occurrence, padding).reshape(bins, frames_per_bin, width).any(axis=1)
    starts = np.arange(bins) * frames_per_bin
    ends = np.minimum(starts + frames_per_bin // 2, length - 1)
    time_s = np.stack((series.time_s[starts], series.time_s[ends]), axis=1).ravel()
    probability, intensity = curves
    return Series(time_s, probability, occurs.repeat(2, axis=0), intensity)


def _pairs(values: Values) -> Values:
    """(bins, F, N) to (2 bins, N): the least and the greatest of each bin in their order, NaN where all are."""
    gap = np.isnan(values).all(axis=1)
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    rising = (low.argmin(axis=1) <= high.argmax(axis=1))[:, None]
    pair = np.stack((low.min(axis=1), high.max(axis=1)), axis=1)
    pair = np.where(rising, pair, pair[:, ::-1])
    pair[np.broadcast_to(gap[:, None], pair.shape)] = np.nan
    return np.asarray(pair.reshape(-1, values.shape[2]))


def spread_time(time_s: Values) -> Values:
    """(T,) times to (2T + 1,): frames at odd places, the middles between them, and half a step beyond each end."""
    step = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.04
    middles = (time_s[1:] + time_s[:-1]) / 2
    edges = np.concatenate(([time_s[0] - step / 2], middles, [time_s[-1] + step / 2]))
    return _interleaved(edges, time_s)


def spread(values: Values) -> Values:
    """(T,) values at the times of `spread_time`: means between frames, but the frame's own value beside a gap.

    So every frame has a width, and a face that is seen in a single frame is drawn.
    """
    padded = np.concatenate(([np.nan], values, [np.nan]))
    left, right = padded[:-1], padded[1:]
    edges = np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
    return _interleaved(edges, values)


def spread_flags(flags: Flags) -> Flags:
    """(T,) flags at the times of `spread_time`: a flag holds for half a step on both sides of its frame."""
    padded = np.concatenate(([False], flags, [False]))
    return _interleaved(padded[:-1] | padded[1:], flags)


def _interleaved(edges: NDArray, centres: NDArray) -> NDArray:
    out = np.empty(2 * len(centres) + 1, centres.dtype)
    out[::2], out[1::2] = edges, centres
    return out
