"""Augmentation against torchvision, and that it treats all frames of a clip alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.training.fit import augment as ours
from mdhr_sdk.training.fit.augment import Augmentation, augment, resize

STEPS = [
    (ours.brighten, functional.adjust_brightness),
    (ours.contrast, functional.adjust_contrast),
    (ours.saturate, functional.adjust_saturation),
]
STILL = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}


def picture(seed: int = 0, height: int = 40, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("own", "theirs"), STEPS)
@pytest.mark.parametrize("factor", [0.0, 0.6, 0.95, 1.0, 1.4, 2.0])
def test_each_step_is_torchvisions(own: Callable, theirs: Callable, factor: float) -> None:
    image = picture()
    wanted = np.asarray(theirs(Image.fromarray(image[..., ::-1]), factor))[..., ::-1]
    assert np.abs(own(image, factor).astype(int) - wanted).max() <= 2  # Pillow rounds its grey and cuts the rest


def test_all_frames_are_treated_alike() -> None:
    frame = picture()
    clip = np.stack([frame] * 5)
    for seed in range(20):
        out = augment(clip, 32, Augmentation(), np.random.default_rng(seed))
        assert out.shape == (5, 32, 32, 3) and out.dtype == np.uint8
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


@pytest.mark.parametrize("wrong", [{"scale": 0.5}, {"flip": 2}, {"contrast": (1.2, 1.0)}, {"saturation": (-1, 1)}])
def test_wrong_ranges_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="rising ranges"):
        Augmentation(**wrong)  # type: ignore[arg-type]
