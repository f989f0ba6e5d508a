"""Cuts: other scenes are, light and motion are not."""

from __future__ import annotations

import numpy as np
import pytest

from mdhr_sdk.vision import CutDetector


def other(frame: np.ndarray) -> np.ndarray:
    """The face where it was, half of the surroundings turned over."""
    turned = frame[:, ::-1].copy()
    turned[:, :90] = 255 - turned[:, :90]
    return turned


def test_footage_of_one_scene_has_no_cut(demo_frames: np.ndarray) -> None:
    detector = CutDetector()
    assert not any(detector.is_cut(frame) for frame in demo_frames)


@pytest.mark.parametrize("brightness", [1.0, 0.35, 0.15])
def test_another_scene_is_a_cut_however_dim(demo_frames: np.ndarray, brightness: float) -> None:
    detector = CutDetector()
    first, second = ((brightness * frame).astype(np.uint8) for frame in (demo_frames[0], other(demo_frames[0])))
    assert [detector.is_cut(frame) for frame in (first, first, second, second, first)] == [
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("gain", [0.3, 0.5, 1.3])
def test_exposure_is_no_cut(demo_frames: np.ndarray, gain: float) -> None:
    detector = CutDetector()
    detector.is_cut(demo_frames[0])
    assert not detector.is_cut(np.clip(gain * demo_frames[1].astype(np.float32), 0, 255).astype(np.uint8))


def test_noise_in_the_dark_is_no_cut() -> None:
    rng, detector = np.random.default_rng(0), CutDetector()
    assert not any(detector.is_cut(rng.integers(0, 12, (240, 320, 3), np.uint8)) for _ in range(20))


def test_a_part_of_the_picture_that_changes_is_no_cut(demo_frames: np.ndarray) -> None:
    """As in a video call, whose other participants go on."""
    detector = CutDetector()
    first, second = demo_frames[0], 255 - demo_frames[0][::-1]
    assert not detector.is_cut(np.hstack([first, demo_frames[20]]))
    assert not detector.is_cut(np.hstack([second, demo_frames[21]]))
    assert detector.is_cut(np.hstack([first, second])), "both halves"


def test_wild_motion_and_a_flash_are_no_cut(demo_frames: np.ndarray) -> None:
    still = np.hstack([demo_frames[0], demo_frames[20]])
    for changed in (np.roll(still, 90, axis=1), np.clip(2.2 * still + 40.0, 0, 255).astype(np.uint8)):
        detector = CutDetector()
        assert [detector.is_cut(frame) for frame in (still, changed, still)] == [False] * 3


def test_a_corner_without_texture_hides_no_cut(demo_frames: np.ndarray) -> None:
    detector = CutDetector()
    scenes = [demo_frames[0].copy(), other(demo_frames[0])]
    for scene in scenes:
        scene[:160, :160] = 20
    assert [detector.is_cut(scene) for scene in scenes] == [False, True]
