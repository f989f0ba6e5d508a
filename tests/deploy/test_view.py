"""The export view answers like the model, whatever the configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mdhr_sdk.deploy import export_view
from mdhr_sdk.deploy.export.view import MatrixWindowMean
from mdhr_sdk.errors import InputError
from mdhr_sdk.model import build_mdhr, calibrate
from mdhr_sdk.model.dynamics import window_mean
from mdhr_sdk.model.graphs import Normalise, build_graph
from mdhr_sdk.vision import prepare
from reference import clip

CONFIGS: tuple[Any, ...] = (
    {},
    {"label_set": "disfa"},
    {"fusion": "adaptive_paper"},
    {"fusion": "concat", "scales": (1, 3)},
    {"mfd": False},
    {"temporal": False, "graph": False},
    {"extractors": False},
    {"auxiliary": False, "edges": "full"},
    {"regions": "paper", "k": 2},
    {"backbone": "resnet18"},
    pytest.param({"backbone": "swin_tiny_patch4_window7_224", "input_size_px": 224}, marks=pytest.mark.slow),
)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_view_answers_like_the_model(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    narrow: dict[str, Any] = {"projection_width": 24, "au_width": 16, "weight_width": 4, "input_size_px": 96}
    model = build_mdhr(**{"backbone": "test_resnet", **narrow, **config})
    size = model.config.input_size_px
    calibrate(model, clip(1, 6, size))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    view = export_view(model, frames=6)
    x = torch.from_numpy(clip(2, 6, size, motion=0.05, seed=4))
    with torch.inference_mode():
        wanted, got, split = model(x), view(x), view.head(view.encode(x))
    for output in (got, split):
        torch.testing.assert_close(output.scores, wanted.scores, atol=1e-5, rtol=0)
        for ours, theirs in zip(output.region_logits, wanted.region_logits, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "the model is untouched"
    left = {type(m).__name__ for m in view.head.modules()} | {type(m).__name__ for m in view.encoder.static.modules()}
    assert not any("BatchNorm" in name for name in left)


@pytest.mark.parametrize(("frames", "k"), [(1, 3), (2, 1), (16, 5), (5, 8)])
def test_window_mean_as_a_matrix(frames: int, k: int) -> None:
    d = torch.randn(2, frames - 1, 3, 2, 2)
    torch.testing.assert_close(MatrixWindowMean(frames, k)(d), window_mean(d, k))


def test_a_view_is_made_for_one_k() -> None:
    with pytest.raises(InputError, match="made for k=5"):
        MatrixWindowMean(16, 5)(torch.zeros(1, 15, 2), k=3)


def test_normalise_in_the_graph_is_prepare() -> None:
    model = build_mdhr(backbone="resnet18", projection_width=8, au_width=8, input_size_px=64).eval()
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    from mdhr_sdk.modelfolder.config import Preprocessing

    p = Preprocessing(size_px=64)
    wanted = prepare(crops, p.mean, p.std)
    np.testing.assert_allclose(Normalise(p)(torch.from_numpy(crops)), wanted, atol=2e-6)
    graph = build_graph(model, p, "encoder_u8")
    with torch.inference_mode():
        static, *_ = graph(torch.from_numpy(crops))
        torch.testing.assert_close(static, model.encoder(torch.from_numpy(wanted)).static, atol=1e-4, rtol=1e-4)
