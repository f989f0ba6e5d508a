"""The one-euro filter, against the algorithm of the paper written out for one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.pipeline.scores.smoothing import BETA, SPEED_HZ, OneEuro


class LowPass:
    """Exponential smoothing, as in the paper's listing."""

    def __init__(self) -> None:
        self.last: float | None = None

    def filter(self, value: float, alpha: float) -> float:
        self.last = value if self.last is None else alpha * value + (1 - alpha) * self.last
        return self.last


def alpha(rate: float, cutoff_hz: float) -> float:
    tau = 1 / (2 * math.pi * cutoff_hz)
    return 1 / (1 + tau * rate)


def paper(values: list[float], times_s: list[float], cutoff_hz: float) -> list[float]:
    """Algorithm 1 of Casiez, Roussel and Vogel (CHI 2012)."""
    signal, speed, smoothed = LowPass(), LowPass(), []
    for place, value in enumerate(values):
        if place == 0:
            speed.filter(0.0, 1.0)
            smoothed.append(signal.filter(value, 1.0))
            continue
        rate = 1 / (times_s[place] - times_s[place - 1])
        assert signal.last is not None
        change = speed.filter((value - signal.last) * rate, alpha(rate, SPEED_HZ))
        smoothed.append(signal.filter(value, alpha(rate, cutoff_hz + BETA * abs(change))))
    return smoothed


def smoothed(values: list[float], times_s: list[float], cutoff_hz: float) -> list[float]:
    smoother = OneEuro(cutoff_hz)
    rows = [np.array([value, 1 - value], np.float32) for value in values]
    out = [smoother.smooth(time_s, {7: row})[7] for time_s, row in zip(times_s, rows, strict=True)]
    assert all(row.dtype == np.float32 and row.shape == (2,) for row in out)
    return [float(row[0]) for row in out]


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60),
    steps=st.lists(st.floats(0.001, 3), min_size=60, max_size=60),
    cutoff_hz=st.floats(0.01, 100),
)
def test_it_is_the_filter_of_the_paper(values: list[float], steps: list[float], cutoff_hz: float):
    times_s = np.cumsum([0, *steps])[: len(values)].tolist()
    found = smoothed(values, times_s, cutoff_hz)
    assert found == pytest.approx(paper(values, times_s, cutoff_hz), abs=1e-6)
    assert all(min(values) - 1e-6 <= value <= max(values) + 1e-6 for value in found)


def test_jitter_goes_and_a_step_is_followed():
    rng, times_s = np.random.default_rng(0), [place / 25 for place in range(100)]
    true = np.repeat([0.1, 0.9], 50)
    noisy = np.clip(true + rng.normal(0, 0.03, 100), 0, 1).tolist()
    found = np.array(smoothed(noisy, times_s, 1.0))
    assert np.diff(found[:50]).std() < 0.5 * np.diff(noisy[:50]).std()
    assert found[52] > 0.5, "within three frames of the step"


def test_a_repeated_stamp_changes_nothing_and_a_face_that_was_away_or_a_break_begins_anew():
    smoother, low, high = OneEuro(1.0), np.zeros(2, np.float32), np.ones(2, np.float32)
    smoother.smooth(0.0, {0: low, 1: low})
    assert smoother.smooth(0.0, {0: high, 1: high})[0].tolist() == [0, 0]
    assert smoother.smooth(0.04, {0: high})[0][0] < 1
    assert smoother.smooth(0.08, {0: high, 1: high})[1].tolist() == [1, 1]
    assert smoother.smooth(0.02, {0: low}, breaks=True)[0].tolist() == [0, 0]
    assert smoother.smooth(0.06, {}) == {} and smoother._states == {}


@pytest.mark.parametrize("cutoff", [0, -1.0, math.inf, math.nan, True, "1"])
def test_a_cutoff_is_a_number_above_zero(cutoff: object):
    with pytest.raises(ConfigError, match="cutoff in Hz above 0"):
        OneEuro(cutoff)  # type: ignore[arg-type]
