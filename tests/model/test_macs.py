"""Multiply-adds by module, beside sums worked out by hand and the published totals."""

from __future__ import annotations

import pytest

from golden import MODELS
from mdhr_sdk.aus import label_set
from mdhr_sdk.model.macs import graph_macs
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig

GMACS_A_FRAME = {
    ("bp4d", "resnet50"): 7.178,
    ("bp4d", "swin_base"): 16.298,
    ("disfa", "resnet50"): 7.133,
    ("disfa", "swin_base"): 16.253,
}


def config(labels: str, backbone: str, frames: int = 16) -> FolderConfig:
    return FolderConfig(ModelConfig(label_set(labels), backbone), clip_length=frames)


@pytest.mark.parametrize(("labels", "backbone"), MODELS)
def test_a_clip_costs_what_is_published(labels: str, backbone: str) -> None:
    macs = graph_macs(config(labels, backbone), "clip")
    assert macs[""] / 16e9 == pytest.approx(GMACS_A_FRAME[labels, backbone], abs=5e-4)


@pytest.mark.parametrize("frames", [2, 5, 16])
def test_resnet50_by_hand(frames: int) -> None:
    clip, encoder, head = (graph_macs(config("bp4d", "resnet50", frames), g) for g in ("clip", "encoder", "head"))
    places, width = 49, 512
    channels_and_kernels = ((256, 8), (512, 4), (1024, 2), (2048, 1))
    projection = sum(places * 2048 * channels * kernel**2 for channels, kernel in channels_and_kernels)
    assert encoder["encoder.project"] == projection
    assert clip["encoder.project"] == projection * (frames - 1)
    assert encoder["encoder.static"] * frames == clip["encoder.static"] == places * 2048 * width * frames
    nodes = 12
    graph = nodes * width * width + nodes * nodes * width
    temporal = nodes * width * 5
    for macs in (clip, head):
        assert macs["head.graph"] == graph * frames
        assert macs["head.temporal"] == temporal * frames
    assert head[""] == sum(head[f"head.{part}"] for part in ("dynamics", "relations", "graph", "temporal"))
    assert encoder[""] * frames + head[""] == clip[""] + projection


def test_frames_first_costs_one_projection_more() -> None:
    released = config("bp4d", "resnet50")
    cached = (16 * graph_macs(released, "encoder")[""] + graph_macs(released, "head")[""]) / 16e9
    assert cached == pytest.approx(7.370, abs=1e-3)


@pytest.mark.parametrize("graph", ["clip", "encoder"])
def test_uint8_crops_cost_no_multiply_adds_more(graph: str) -> None:
    small = FolderConfig(ModelConfig(label_set("disfa"), "resnet18"), clip_length=3)
    assert graph_macs(small, f"{graph}_u8") == graph_macs(small, graph)
