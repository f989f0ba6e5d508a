"""Stronger augmentation: alike in all frames, off by default, and bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.training.fit.augment import augment
from mdhr_sdk.training.fit.augmentation import Augmentation
from mdhr_sdk.training.fit.disturb import disturb, disturbs

STRONG = {"turn_deg": 10.0, "stretch": 0.1, "light": 0.3, "blur": 1.0, "erase": 1.0}


def same_frames(seed: int, count: int = 3, side: int = 32) -> np.ndarray:
    frame = np.random.default_rng(seed).integers(0, 256, (1, side, side, 3), np.uint8)
    return np.repeat(frame, count, axis=0)


def test_the_papers_augmentation_has_none_of_it() -> None:
    assert not disturbs(Augmentation())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(STRONG)))
def test_equal_frames_stay_equal(seed: int, name: str) -> None:
    clip = same_frames(seed)
    out = disturb(clip, Augmentation(**{name: STRONG[name]}), np.random.default_rng(seed))
    assert out.shape == clip.shape and out.dtype == np.uint8
    assert (out == out[:1]).all()


def test_grain_differs_between_frames_and_has_its_strength() -> None:
    clip = np.full((400, 16, 16, 3), 128, np.uint8)
    out = disturb(clip, Augmentation(noise=0.1), np.random.default_rng(1)).astype(float)
    grain = 0.1 * _grain(1)
    assert out.std(axis=0).mean() == pytest.approx(255 * grain, rel=0.05)


def _grain(seed: int) -> float:
    """The draw that scales the noise: the one after those of turn, stretch, light, blur and patch."""
    rng = np.random.default_rng(seed)
    rng.uniform(-1, 1), rng.uniform(-1, 1, 2)
    cells = int(rng.integers(2, 6))
    rng.standard_normal((cells, cells)), rng.random(), rng.random(), rng.random()
    return rng.random()


def test_it_follows_from_the_generator() -> None:
    clip, chosen = same_frames(3), Augmentation(scale=1.0, noise=0.05, **STRONG)
    results = [augment(clip, 32, chosen, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*results)
    assert (results[0] != augment(clip, 32, chosen, np.random.default_rng(8))).any()


def test_a_turn_is_a_turn() -> None:
    side, angle = 65, 10.0
    clip = np.zeros((1, side, side, 3), np.uint8)
    clip[:, :, 30:35] = 255  # a vertical bar
    seen = []
    for seed in range(40):
        out = disturb(clip, Augmentation(turn_deg=angle), np.random.default_rng(seed))[0, :, :, 0].astype(float)
        rows = np.arange(10, 55)
        centre = (out[rows] * np.arange(side)).sum(axis=1) / out[rows].sum(axis=1)
        seen.append(np.rad2deg(np.arctan(np.polyfit(rows, centre, 1)[0])))
    assert -angle - 0.5 <= min(seen) < -3 and 3 < max(seen) <= angle + 0.5


@pytest.mark.parametrize("bad", [{"turn_deg": 90}, {"light": -0.1}, {"erase": 2}, {"noise": float("nan")}])
def test_bad_strengths_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="turn_deg"):
        Augmentation(**bad)
