"""One definition for every backbone and ablation; both orders of difference and convolution agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.aus import LabelSet, RegionGroup, RegionLayout
from mdhr_sdk.errors import CheckpointError, ConfigError, InputError
from mdhr_sdk.model import MDHR, build_mdhr, calibrate
from reference import clip

NARROW: dict[str, Any] = {"projection_width": 24, "au_width": 16, "weight_width": 4}
BACKBONES = ("resnet18", "mobilenetv4_conv_small", "convnext_atto", "swin_tiny_patch4_window7_224")
ABLATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"mfd": False},
    {"scales": (2,)},
    {"scales": (1, 4)},
    {"fusion": "sum"},
    {"fusion": "concat"},
    {"fusion": "adaptive_paper"},
    {"regions": "paper"},
    {"extractors": False},
    {"extractors": False, "auxiliary": False, "graph": False, "temporal": False, "mfd": False},
    {"auxiliary": False, "edges": "full"},
    {"edges": "local"},
    {"edges": "cross_full"},
    {"graph": False},
    {"temporal": False},
    {"k": 1},
    {"k": 8},
    {"label_set": "disfa"},
    {"input_size_px": 256},
)


def build(**config: Any) -> MDHR:
    torch.manual_seed(0)
    model = build_mdhr(**{"backbone": "test_resnet", "input_size_px": 96, **NARROW, **config})
    calibrate(model, clip(batch=1, frames=6, size=model.config.input_size_px))
    return model


@torch.inference_mode()
def both_orders(model: MDHR, batch: int, frames: int) -> tuple[Any, Any]:
    x = torch.from_numpy(clip(batch, frames, model.config.input_size_px, motion=0.05, seed=3))
    return model(x), model.head(model.encode(x))


@pytest.mark.parametrize("config", ABLATIONS, ids=str)
def test_every_ablation_runs_and_both_orders_agree(config: dict[str, Any]) -> None:
    model = build(**config)
    released, cached = both_orders(model, batch=2, frames=5)
    aus, groups = model.config.label_set.aus, model.config.layout.groups
    assert released.scores.shape == (2, 5, len(aus))
    assert released.scores.min() >= 0 and released.scores.max() <= 1 + 1e-6
    shapes = [tuple(x.shape) for x in released.region_logits]
    assert shapes == ([(2, 5, 2 ** len(group.aus)) for group in groups] if model.config.auxiliary else [])
    torch.testing.assert_close(released.scores, cached.scores, atol=1e-5, rtol=0)
    for ours, theirs in zip(released.region_logits, cached.region_logits, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_widths_follow_the_backbone(backbone: str) -> None:
    model = build(backbone=backbone, input_size_px=224)
    channels = model.encoder.backbone.channels
    assert [conv.in_channels for conv in model.encoder.project.convs] == list(channels)
    assert [conv.kernel_size[0] for conv in model.encoder.project.convs] == [8, 4, 2, 1]
    features = model.encode(torch.zeros(1, 2, 3, 224, 224))
    assert features.static.shape == (1, 2, 49, 16)
    assert [tuple(m.shape) for m in features.maps] == [(1, 2, 24, 7, 7)] * 4
    released, cached = both_orders(model, batch=1, frames=4)
    torch.testing.assert_close(released.scores, cached.scores, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def exact() -> MDHR:
    """In double precision, so that only the algebra is compared."""
    return build(label_set="disfa", input_size_px=64).double()


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 3), frames=st.integers(1, 12), k=st.one_of(st.none(), st.integers(1, 8)))
def test_batch_frames_and_k_are_free(exact: MDHR, batch: int, frames: int, k: int | None) -> None:
    x = torch.from_numpy(clip(batch, frames, 64, motion=0.05, seed=3)).double()
    with torch.inference_mode():
        released, cached = exact(x, k), exact.head(exact.encode(x), k)
    assert released.scores.shape == (batch, frames, 8)
    torch.testing.assert_close(released.scores, cached.scores, atol=1e-11, rtol=0)


def test_k_at_call_time_is_the_k_of_a_model_built_with_it(exact: MDHR) -> None:
    other = build(label_set="disfa", input_size_px=64, k=2).double()
    other.load_state_dict(exact.state_dict())
    x = torch.from_numpy(clip(1, 9, 64)).double()
    with torch.inference_mode():
        torch.testing.assert_close(exact(x, k=2).scores, other(x).scores, atol=1e-11, rtol=0)
        assert (exact(x, k=2).scores - exact(x).scores).abs().max() > 1e-6
    with pytest.raises(InputError, match="k must be at least 1"):
        exact(x, k=0)


def test_clips_of_a_batch_do_not_mix() -> None:
    model = build(input_size_px=64)
    x = torch.from_numpy(clip(3, 6, 64, seed=5))
    with torch.inference_mode():
        together, alone = model(x).scores, torch.cat([model(one[None]).scores for one in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_frames_are_encoded_one_by_one() -> None:
    model = build(input_size_px=64).double()  # single precision differs with the number of frames, by CPU
    x = torch.from_numpy(clip(1, 5, 64)).double()
    with torch.inference_mode():
        together, alone = model.encode(x), [model.encoder(x[:, t]) for t in range(5)]
    for t, features in enumerate(alone):
        torch.testing.assert_close(together.static[:, t], features.static, atol=1e-10, rtol=1e-8)
        torch.testing.assert_close(together.maps[0][:, t], features.maps[0], atol=1e-10, rtol=1e-8)


def test_no_gradient_reaches_the_region_heads_through_the_graph() -> None:
    model = build(input_size_px=64).train()
    model(torch.from_numpy(clip(2, 4, 64))).scores.sum().backward()
    assert all(p.grad is None for p in model.head.relations.heads.parameters())
    assert all(p.grad is not None for p in model.encoder.parameters())


def test_a_label_set_of_ones_own() -> None:
    layout = RegionLayout((RegionGroup("brows", "up", (1, 4)), RegionGroup("mouth", "low", (12, 25))))
    model = build(label_set=LabelSet("mine", (12, 1, 25, 4), layout), input_size_px=64)
    output = model(torch.zeros(1, 2, 3, 64, 64))
    assert output.scores.shape == (1, 2, 4)
    assert [x.shape[-1] for x in output.region_logits] == [4, 4]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"backbone": "resnet_fifty"}, "unknown backbone"),
        ({"backbone": "vit_tiny_patch16_224"}, "strides"),
        ({"label_set": "bp5d"}, "unknown label set"),
        ({"dropout": 0.5}, "no setting dropout"),
        ({"auxiliary": False}, "cross_active"),
        ({"scales": (0, 1)}, "scales"),
        ({"fusion": "mean"}, "fusion"),
    ],
)
def test_refuses_what_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_mdhr(**{"backbone": "resnet18", **NARROW, **config})


def test_pretrained_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model

    def offline(name: str, **kwargs: Any) -> Any:
        if kwargs.get("pretrained"):
            raise OSError("no route to host")
        return create(name, **kwargs)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match=r"'resnet18' cannot be fetched \(no route to host\)"):
        build_mdhr(backbone="resnet18", pretrained=True, **NARROW)


def test_refuses_clips_of_another_shape_or_kind(exact: MDHR) -> None:
    for shape in ((2, 3, 64, 64), (1, 0, 3, 64, 64), (1, 2, 1, 64, 64), (1, 2, 3, 32, 32), (1, 2, 64, 64, 3)):
        with pytest.raises(InputError, match=r"a clip must be \(B, T, 3, 64, 64\)"):
            exact(torch.zeros(shape))
    with pytest.raises(InputError, match="normalised floats"):
        exact(torch.zeros(1, 1, 3, 64, 64, dtype=torch.uint8))


def test_calibration_gives_the_clips_own_statistics() -> None:
    torch.manual_seed(0)
    model = build_mdhr(backbone="resnet18", **NARROW)
    frames = clip(batch=1, frames=6)
    calibrate(model, frames)
    stem = torch.nn.functional.conv2d(torch.from_numpy(frames[0]), model.encoder.backbone.net.conv1.weight, None, 2, 3)
    norm = model.encoder.backbone.net.bn1
    np.testing.assert_allclose(norm.running_mean, stem.mean((0, 2, 3)).detach(), atol=1e-5)
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())
