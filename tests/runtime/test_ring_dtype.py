"""Rings in half precision: what they cost, what they hold, and what they cannot."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

from mdhr_sdk.model import MDHR
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.ops import DynamicsParameters
from mdhr_sdk.runtime.stream.rings import HostDynamics, RingSettings
from streams import SETTLED, K, T, expected, open_scorer, streamed, video


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 6e-5), ("bfloat16", 5e-4)])
@pytest.mark.parametrize("lookahead", [0, SETTLED])
def test_a_ring_of_halves_costs_little_and_takes_half(
    folder: ModelFolder, model: MDHR, lookahead: int, dtype: str, bound: float
) -> None:
    whole, half = (open_scorer(folder, "torch", lookahead, ring_dtype=name) for name in ("float32", dtype))
    assert half.stream_bytes < whole.stream_bytes
    frames = video(2 * T + 3)
    scores = [score.scores for score in streamed(half, frames)]
    difference = np.abs(scores - expected(model, frames, lookahead)).max()
    assert 0 < difference < bound


@pytest.mark.parametrize(
    ("lookahead", "dtype", "megabytes"),
    [(7, "float32", 18.5), (7, "float16", 10.5), (0, "float32", 27.3), (0, "bfloat16", 16.1)],
)
def test_a_face_of_a_resnet_50_takes_what_the_readme_says(
    folder: ModelFolder, lookahead: int, dtype: str, megabytes: float
) -> None:
    model = dataclasses.replace(
        folder.config.model, input_size_px=224, projection_width=2048, au_width=512, weight_width=16
    )
    preprocessing = dataclasses.replace(folder.config.preprocessing, size_px=224)
    config = dataclasses.replace(folder.config, model=model, preprocessing=preprocessing)
    said = RingSettings(lookahead, 16, 5, 2, None, dtype).ring_bytes(config)
    assert round(said / 1e6, 1) == megabytes


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("lookahead", [0, SETTLED])
def test_a_ring_holds_what_it_says(folder: ModelFolder, lookahead: int, dtype: str) -> None:
    channels, width = 1024, 16
    wide = dataclasses.replace(folder.config.model, projection_width=channels)
    ones = np.ones((4, channels), np.float32)
    squeeze = np.ones((4, wide.weight_width, channels), np.float32)
    more = (
        np.ones((4, wide.weight_width), np.float32),
        np.ones((4, 4 * wide.weight_width), np.float32),
        ones[:, 0].copy(),
    )
    config, parameters = dataclasses.replace(folder.config, model=wide), DynamicsParameters(ones, ones, squeeze, *more)
    dynamics = HostDynamics(config, parameters, K, dtype) if lookahead == SETTLED else None
    settings = RingSettings(lookahead, T, K, 2, parameters, dtype, dynamics=dynamics)
    said = settings.ring_bytes(config)
    static, level = np.ones((4, width), np.float32), np.ones((channels, 2, 2), np.float32)
    settings.push([settings.ring()], static[None], [level[None]] * 4)  # what is loaded late is no ring's
    tracemalloc.start()
    rings = [settings.ring() for _ in range(20)]
    for ring in rings:
        for _ in range(3 * T):
            (rows,) = settings.push([ring], static[None], [level[None]] * 4)
            nodes = np.zeros((len(rows.static), 12, width), np.float32)
            list(ring.windows(nodes))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.95 * said < held / len(rings) < 1.1 * said
