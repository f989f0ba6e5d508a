"""Augmentation against torchvision, that it treats all frames of a clip alike, and that it is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.training.fit import augment as ours
from mdhr_sdk.training.fit.augment import Augmentation, augment, disturb, disturbs, resize

STEPS = [
    (ours.brighten, functional.adjust_brightness),
    (ours.contrast, functional.adjust_contrast),
    (ours.saturate, functional.adjust_saturation),
]
STILL = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}
STRONG: dict[str, Any] = {"turn_deg": 10.0, "stretch": 0.1, "light": 0.3, "blur": 1.0, "erase": 1.0}


def picture(seed: int = 0, height: int = 40, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("own", "theirs"), STEPS)
@pytest.mark.parametrize("factor", [0.0, 0.6, 0.95, 1.0, 1.4, 2.0])
def test_each_step_is_torchvisions(own: Callable, theirs: Callable, factor: float) -> None:
    image = picture()
    wanted = np.asarray(theirs(Image.fromarray(image[..., ::-1]), factor))[..., ::-1]
    assert np.abs(own(image, factor).astype(int) - wanted).max() <= 2  # Pillow rounds its grey and cuts the rest


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["", *STRONG]))
def test_all_frames_are_treated_alike(seed: int, name: str) -> None:
    clip = np.stack([picture(seed)] * 3)
    chosen = Augmentation(**{name: STRONG[name]} if name else {})
    out = augment(clip, 32, chosen, np.random.default_rng(seed))
    assert out.shape == (3, 32, 32, 3) and out.dtype == np.uint8
    assert (out == out[0]).all()


def test_contrast_turns_about_the_grey_of_the_clip() -> None:
    clip = np.stack([np.full((8, 8, 3), 50, np.uint8), np.full((8, 8, 3), 150, np.uint8)])
    options = Augmentation(scale=1, flip=0, **{**STILL, "contrast": (0.5, 0.5)})
    out = augment(clip, 8, options, np.random.default_rng(0))
    assert (out[0] == 75).all() and (out[1] == 125).all()  # about 100: frame by frame they would stay as they are


def test_crops_and_mirrored_crops_of_every_place_come_up() -> None:
    image = picture(height=10, width=10)
    options = Augmentation(**STILL)
    wanted = {}
    for top in range(3):
        for left in range(3):
            crop = image[top : top + 8, left : left + 8]
            wanted[crop.tobytes()] = (top, left, False)
            wanted[np.ascontiguousarray(crop[:, ::-1]).tobytes()] = (top, left, True)
    found = [wanted[augment(image[None], 8, options, np.random.default_rng(seed)).tobytes()] for seed in range(500)]
    assert set(found) == set(wanted.values())
    assert 200 < sum(mirrored for *_, mirrored in found) < 300


def test_factors_stay_in_their_range() -> None:
    image = np.full((1, 8, 8, 3), 100, np.uint8)
    values = []
    for seed in range(300):
        options = Augmentation(scale=1, **{**STILL, "brightness": (0.6, 1.4)})
        values.append(int(augment(image, 8, options, np.random.default_rng(seed))[0, 0, 0, 0]))
    assert min(values) in range(60, 64) and max(values) in range(137, 141)


def test_the_paper_resizes_to_256_for_224() -> None:
    assert round(224 * Augmentation().scale) == 256
    assert resize(picture(), 40) is not None and resize(picture(height=30, width=50), 20).shape == (20, 20, 3)
    assert (resize(np.full((9, 9, 3), 7, np.uint8), 20) == 7).all()


def test_the_papers_augmentation_disturbs_nothing() -> None:
    assert not disturbs(Augmentation())


def test_grain_differs_between_frames_and_has_at_most_its_strength() -> None:
    clip, strengths = np.full((100, 16, 16, 3), 128, np.uint8), []
    for seed in range(20):
        out = disturb(clip, Augmentation(noise=0.1), np.random.default_rng(seed)).astype(float)
        strengths.append(out.std(axis=0).mean() / 255)
    assert min(strengths) < 0.03 and 0.08 < max(strengths) < 0.102


def test_it_follows_from_the_generator() -> None:
    clip, chosen = np.stack([picture(3)] * 3), Augmentation(scale=1.0, noise=0.05, **STRONG)
    first, again, other = (augment(clip, 32, chosen, np.random.default_rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


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


@pytest.mark.parametrize(
    "wrong",
    [{"scale": 0.5}, {"flip": 2}, {"contrast": (1.2, 1.0)}, {"saturation": (-1, 1)}, {"turn_deg": 90}, {"light": -0.1},
     {"erase": 2}, {"noise": float("nan")}],
)  # fmt: skip
def test_wrong_strengths_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"rising ranges|must be (less|greater) than"):
        Augmentation(**wrong)
