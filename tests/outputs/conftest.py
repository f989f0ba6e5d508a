"""Made-up results: smooth scores, holes, several faces; and pages that are served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from mdhr_sdk.aus import label_set
from mdhr_sdk.outputs.serve import ServeSink
from mdhr_sdk.results import AUScore, FaceResult, FrameResult, ModelInfo

CODES = label_set("bp4d").codes


RATED = {"trained_on": "synthetic faces only", "tiers": dict(zip(CODES, "AABCBBABCBAB", strict=True))}


def make_model(trained: bool = True) -> ModelInfo:
    return ModelInfo("demo", "bp4d", "resnet18", "torch", "cpu", trained)


def make_face(track: int, scores: np.ndarray, box: tuple[float, float, float, float] = (30, 20, 80, 90)) -> FaceResult:
    aus = {code: AUScore(code, float(p), bool(p >= 0.5)) for code, p in zip(CODES, scores, strict=True)}
    return FaceResult(track, box, np.zeros((478, 3), np.float32), aus)


def make_frame(
    index: int = 0,
    faces: int = 1,
    source: str = "clip.mp4",
    trained: bool = True,
    size: tuple[int, int] | None = None,
) -> FrameResult:
    """A frame at 25 fps; `size` is (height, width) of its image, grey, or None for no image."""
    scores = 0.5 + 0.45 * np.sin(0.1 * index + np.arange(len(CODES)))
    image = None if size is None else np.full((*size, 3), 128, np.uint8)
    found = tuple(make_face(track, scores) for track in range(faces))
    return FrameResult(source, index, index / 25, found, make_model(trained), image)


@pytest.fixture
def frames() -> list[FrameResult]:
    """60 frames of one face, which is away in frames 20 to 29."""
    return [make_frame(index, faces=0 if 20 <= index < 30 else 1) for index in range(60)]


@pytest.fixture(scope="session")
def frame() -> Callable[..., FrameResult]:
    return make_frame


@pytest.fixture
def rated() -> Callable[..., FrameResult]:
    """As `frame`, of a model whose AUs have tiers and that was trained on synthetic faces."""
    return lambda *args, **kwargs: replace(make_frame(*args, **kwargs), model=replace(make_model(), **RATED))


@pytest.fixture
def codes() -> tuple[str, ...]:
    return CODES


@pytest.fixture
def face() -> Callable[..., FaceResult]:
    return make_face


@pytest.fixture
def served() -> Iterator[ServeSink]:
    with ServeSink(port=0) as sink:
        yield sink
    assert not sink._thread.is_alive()


@pytest.fixture(scope="module")
def shared() -> Iterator[ServeSink]:
    """For requests that change nothing: each server takes 0.2 s to end."""
    with ServeSink(port=0) as sink:
        yield sink
