"""Stream mode from frames to results: real footage, gaps, cuts, delays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import CONFIG, INFO, FakeSession
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import BackendError, ConfigError
from mdhr_sdk.model import load_model
from mdhr_sdk.pipeline.crops import CropFinder, Found
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import prepare
from streams import SETTLED, T, expected


@pytest.fixture
def folder(small_folder: Path) -> Path:
    return small_folder


@pytest.fixture(scope="module")
def footage(demo_frames: np.ndarray) -> np.ndarray:
    """(16, 320, 320, 3) uint8 BGR with one face."""
    return demo_frames[:16]


@pytest.fixture
def crops(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every crop that is cut while a test runs."""
    cut, kept = CropFinder.crops, []

    def record(self: CropFinder, found: Found) -> dict[int, np.ndarray]:
        crops = cut(self, found)
        kept.extend(crops.values())
        return crops

    monkeypatch.setattr(CropFinder, "crops", record)
    return kept


def windows(folder: Path, crops: list[np.ndarray], lookahead: int) -> np.ndarray:
    """The clip model in the window of every frame of one stream."""
    frames = prepare(np.stack(crops), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return expected(load_model(folder), frames, lookahead)


def probabilities(frames: list[FrameResult]) -> np.ndarray:
    return np.array([[score.probability for score in frame.faces[0].aus.values()] for frame in frames])


@pytest.mark.parametrize("lookahead", [0, SETTLED, T - 1])
def test_real_footage_is_scored_as_in_the_clip_models_windows(
    folder: Path, footage: np.ndarray, crops: list[np.ndarray], lookahead: int
) -> None:
    with AUDetector.from_pretrained(folder, "torch", "cpu", mode="stream") as detector:
        frames = list(detector.stream(footage, lookahead=lookahead, fps=25))
    assert [frame.index for frame in frames] == list(range(16))
    assert [frame.delay_frames for frame in frames] == [min(lookahead, 15 - i) for i in range(16)]
    assert all(frame.delay_ms > 0 and frame.timestamp_s == frame.index / 25 for frame in frames)
    np.testing.assert_allclose(probabilities(frames), windows(folder, crops, lookahead), atol=1e-5)


def test_a_detector_has_both_modes(folder: Path, footage: np.ndarray) -> None:
    with AUDetector.from_pretrained(folder, "torch", "cpu") as detector:
        assert detector.mode == "clip"
        clip, stream = detector.predict(footage), detector.predict(footage, mode="stream")
        assert clip.model == detector.info and stream.model == replace(clip.model, lookahead=SETTLED)
        assert not np.allclose(probabilities(list(clip)), probabilities(list(stream)), atol=1e-4)
        again = list(detector.predict(footage, True, mode="stream", lookahead=SETTLED))
        np.testing.assert_array_equal(probabilities(again), probabilities(list(stream)))


def test_a_cut_ends_the_stream(folder: Path, footage: np.ndarray, crops: list[np.ndarray]) -> None:
    other = footage[:8, :, ::-1].copy()
    other[:, :90] = 255 - other[:, :90]  # another scene, the face where it was
    both = np.concatenate([footage[:8], other])
    with AUDetector.from_pretrained(folder, "torch", "cpu", mode="stream") as detector:
        frames = list(detector.stream(both))
    assert [frame.faces[0].track_id for frame in frames] == [0] * 8 + [1] * 8
    assert len(crops) == 16
    wanted = np.concatenate([windows(folder, crops[:8], SETTLED), windows(folder, crops[8:], SETTLED)])
    np.testing.assert_allclose(probabilities(frames), wanted, atol=1e-5)


def test_a_gap_ends_the_stream_and_what_was_waiting_comes_at_once(
    folder: Path, footage: np.ndarray, crops: list[np.ndarray]
) -> None:
    empty = np.broadcast_to(footage[:1].mean((1, 2), keepdims=True).astype(np.uint8), footage[:2].shape)
    with AUDetector.from_pretrained(folder, "torch", "cpu", mode="stream") as detector:
        frames = list(detector.stream(np.concatenate([footage[:8], empty, footage[8:16]])))
    assert [frame.status for frame in frames] == ["ok"] * 8 + ["no_face"] * 2 + ["ok"] * 8
    assert [frame.delay_frames for frame in frames[:10]] == [4, 4, 4, 4, 4, 3, 2, 1, 0, 0]
    wanted = np.concatenate([windows(folder, crops[:8], SETTLED), windows(folder, crops[8:], SETTLED)])
    np.testing.assert_allclose(probabilities([*frames[:8], *frames[10:]]), wanted, atol=1e-5)


def test_a_stream_that_is_given_up_leaves_nothing_to_the_next(folder: Path, footage: np.ndarray) -> None:
    with AUDetector.from_pretrained(folder, "torch", "cpu", mode="stream") as detector:
        whole = probabilities(list(detector.stream(footage[:12])))
        begun = detector.stream(footage[::-1])
        for _ in range(3):
            next(begun)
        np.testing.assert_array_equal(probabilities(list(detector.stream(footage[:12]))), whole)


@pytest.mark.parametrize("lookahead", [0, SETTLED])
def test_rings_of_halves_score_nearly_alike(folder: Path, footage: np.ndarray, lookahead: int) -> None:
    exact, *halves = (
        AUDetector.from_pretrained(folder, "torch", "cpu", mode="stream", ring_dtype=dtype)
        for dtype in ("float32", "float16", "bfloat16")
    )
    wanted = probabilities(list(exact.stream(footage, lookahead)))
    for detector, bound in zip(halves, (2e-4, 2e-3), strict=True):
        difference = np.abs(probabilities(list(detector.stream(footage, lookahead))) - wanted).max()
        assert 0 < difference < bound


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    with AUDetector.from_pretrained(folder, "torch", "cpu") as detector:
        with pytest.raises(ConfigError, match="belongs to mode='stream'"):
            detector.predict("0", True, lookahead=3)
        with pytest.raises(ConfigError, match="from 0 to 8"):
            detector.stream("0", lookahead=9)
        with pytest.raises(ConfigError, match="clip, stream"):
            detector.predict("0", True, mode="live")
    with pytest.raises(ConfigError, match="clip, stream"):
        AUDetector.from_pretrained(folder, mode="live")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ring_dtype must be one of float32, float16, bfloat16"):
        AUDetector.from_pretrained(folder, ring_dtype="int8")
    with pytest.raises(BackendError, match=r"no encoder\.onnx .*mdhr export"):
        AUDetector.from_pretrained(folder, "onnxruntime", mode="stream")
    with pytest.raises(ConfigError, match="from_pretrained"):
        AUDetector(CONFIG, FakeSession(), INFO).stream("0")
