"""The baseline's pooling is another way to the model's window mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.speed.released import PooledMean, released_difference, released_session
from mdhr_sdk.model.dynamics import window_mean
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session

CPU = SessionOptions("cpu", 1, "fp32")


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 12), st.integers(0, 2**16))
def test_pooling_gives_the_window_mean(batch: int, steps: int, k: int, seed: int) -> None:
    differences = torch.from_numpy(np.random.default_rng(seed).standard_normal((batch, steps, 5, 2, 3)))
    found = PooledMean(k)(differences)
    torch.testing.assert_close(found, window_mean(differences, k), rtol=0, atol=1e-12)
    torch.testing.assert_close(PooledMean(99)(differences, k), found)


def test_the_baseline_answers_like_the_model_with_another_layer(tiny_folder: Path) -> None:
    folder = ModelFolder.open(tiny_folder)
    clip = {"clip": np.random.default_rng(0).standard_normal((2, 4, 3, 96, 96), dtype=np.float32)}
    session = released_session(folder, "clip", CPU)
    assert sum(isinstance(module, PooledMean) for module in session._module.modules()) == 1
    wanted, _ = open_session(folder, "torch", CPU)
    np.testing.assert_allclose(session.run(clip)["scores"], wanted.run(clip)["scores"], atol=1e-6)
    assert released_difference(folder, "clip", CPU, clip) <= 1e-6


def test_a_baseline_that_pools_otherwise_is_noticed(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PooledMean, "forward", lambda self, d, k=None: 2 * window_mean(d, self.k))
    clip = {"clip": np.random.default_rng(0).standard_normal((1, 4, 3, 96, 96), dtype=np.float32)}
    assert released_difference(ModelFolder.open(tiny_folder), "clip", CPU, clip) > 1e-4
