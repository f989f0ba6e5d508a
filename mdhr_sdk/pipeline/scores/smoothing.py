"""Causal smoothing of scores: the one-euro filter (Casiez, Roussel and Vogel, CHI 2012).

A low-pass filter whose cutoff rises with the speed of the signal: it takes the jitter from what stands, and follows
what moves with little delay. It is applied to the scores, so that decisions, events, tables and pictures all say the
same; every row tells of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...arguments import is_number
from ...errors import ConfigError

BETA = 4.0  # Hz that the cutoff rises for a change of 1 a second
SPEED_HZ = 1.0  # cutoff of the speed itself
Scores = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _State:
    time_s: float
    value: Values  # (N,) smoothed
    speed: Values  # (N,) a second, smoothed


class OneEuro:
    """Smooths the scores of one source's faces. A face that a frame lacks begins anew, as the model's streams do.

    Args:
        cutoff_hz: of a score that stands still; lower is smoother.

    Raises:
        ConfigError: not a finite number above 0.
    """

    def __init__(self, cutoff_hz: float) -> None:
        if not is_number(cutoff_hz) or cutoff_hz <= 0:
            raise ConfigError(f"smoothing must be a cutoff in Hz above 0, as in 1.0; got {cutoff_hz!r}")
        self.cutoff_hz = float(cutoff_hz)
        self._states: dict[int, _State] = {}  # by track id

    def smooth(
        self, timestamp_s: float, scores: Mapping[int, NDArray[np.floating]], breaks: bool = False
    ) -> dict[int, Scores]:
        """Take the next frame's scores (N,) of each track, and return them smoothed; `breaks` forgets all before."""
        before = {} if breaks else self._states
        self._states = {track: self._next(before.get(track), timestamp_s, row) for track, row in scores.items()}
        return {track: state.value.astype(np.float32) for track, state in self._states.items()}

    def _next(self, last: _State | None, timestamp_s: float, row: NDArray[np.floating]) -> _State:
        value = row.astype(np.float64)
        if last is None:
            return _State(timestamp_s, value, np.zeros_like(value))
        step_s = timestamp_s - last.time_s
        if step_s <= 0:  # a repeated stamp: no time, no change
            return last
        speed = last.speed + _weight(SPEED_HZ, step_s) * ((value - last.value) / step_s - last.speed)
        weight = _weight(self.cutoff_hz + BETA * np.abs(speed), step_s)
        return _State(timestamp_s, last.value + weight * (value - last.value), speed)


def _weight(cutoff_hz: float | Values, step_s: float) -> float | Values:
    """Of the new value, for a low-pass filter of first order."""
    turns = 2 * math.pi * cutoff_hz * step_s
    return turns / (turns + 1)
