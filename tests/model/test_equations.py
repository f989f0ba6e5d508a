"""Each layer against a slow version that reads like the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.aus import LABEL_SETS, label_set
from mdhr_sdk.model.dynamics import AdaptiveFusion, PaperAdaptiveFusion, build_fusion, difference, window_mean
from mdhr_sdk.model.relations import CrossRegionalGraph, LocalRelations
from mdhr_sdk.model.temporal import SimilarityScore, TemporalConvolution
from mdhr_sdk.modelfolder.config import ModelConfig


def config(labels: str = "bp4d", **changes: Any) -> ModelConfig:
    return ModelConfig(label_set=label_set(labels), **{"au_width": 6, "weight_width": 3, **changes})


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 20), k=st.integers(1, 8), seed=st.integers(0, 99))
def test_window_mean_against_a_loop(frames: int, k: int, seed: int) -> None:
    d = np.random.default_rng(seed).standard_normal((2, frames - 1, 3, 2, 2)).astype(np.float32)
    wanted = np.zeros((2, frames, 3, 2, 2), np.float32)
    for t in range(frames):
        for j in range(t - k, t + k):
            if 0 <= j < frames - 1:
                wanted[:, t] += d[:, j] / (2 * k)
    np.testing.assert_allclose(window_mean(torch.from_numpy(d), k), wanted, atol=1e-5)


def test_difference() -> None:
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(difference(x)[:, 2], x[:, 3] - x[:, 2])


@pytest.mark.parametrize("fusion", ["adaptive", "adaptive_paper"])
def test_adaptive_weights_sum_to_one_and_weigh_the_scales(fusion: Any) -> None:
    layer = build_fusion(config(fusion=fusion), width=5).eval()
    assert isinstance(layer, AdaptiveFusion | PaperAdaptiveFusion)
    means = [torch.randn(2, 5, 7, 7) for _ in range(4)]
    weights = layer.weights(means)
    assert weights.shape == (2, 4, 7, 7)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 7, 7))
    torch.testing.assert_close(layer(means), sum(weights[:, i, None] * means[i] for i in range(4)))
    if isinstance(layer, PaperAdaptiveFusion):  # eq. 4 as printed: one 1x1 convolution a scale on all scales
        row = torch.cat(means, 1)[0, :, 3, 4] @ layer.weigh.weight[:, :, 0, 0].T + layer.weigh.bias
        torch.testing.assert_close(weights[0, :, 3, 4], row.softmax(0))


def test_sum_and_concat() -> None:
    means = [torch.randn(1, 5, 7, 7) for _ in range(4)]
    torch.testing.assert_close(build_fusion(config(fusion="sum"), 5)(means), means[0] + means[1] + means[2] + means[3])
    concat = build_fusion(config(fusion="concat"), 5)
    assert concat.width == 20 and torch.equal(concat(means)[:, 5:10], means[1])


@pytest.mark.parametrize("labels", list(LABEL_SETS))
@pytest.mark.parametrize("regions", ["released", "paper"])
def test_active_decodes_the_likeliest_combination(labels: str, regions: Any) -> None:
    settings_ = config(labels, regions=regions)
    layer = LocalRelations(settings_)
    logits = [torch.randn(9, 2 ** len(group.aus)) for group in settings_.layout.groups]
    active = layer.active(logits)
    for frame in range(9):
        for group, values in zip(settings_.layout.groups, logits, strict=True):
            label = int(values[frame].argmax())
            for position, au in enumerate(group.aus):
                bit = label >> (len(group.aus) - 1 - position) & 1
                assert active[frame, settings_.label_set.aus.index(au)] == bit


def test_regions_are_rows_of_the_face() -> None:
    layer = LocalRelations(config("disfa"))
    tokens = torch.arange(49.0).reshape(1, 49, 1).expand(1, 49, 6)
    up, mid, low = (x[0, :, 0].tolist() for x in layer.regional(tokens))
    assert (up, mid, low) == (list(range(21)), list(range(14, 35)), list(range(28, 49)))


def test_an_extractor_reads_its_own_region_and_weights() -> None:
    settings_ = config()
    layer = LocalRelations(settings_).eval()
    tokens = torch.randn(2, 49, 6)
    nodes, logits = layer(tokens)
    group, au = 3, 23  # third of low-b, [10, 17, 23, 24]
    region = layer.group_linears[group](tokens[:, 28:])
    linear = layer.extractors[group]
    weight, bias = linear.linear.weight[12:18], linear.linear.bias[12:18]
    wanted = torch.relu((region @ weight.T + bias) / np.sqrt(1 + 1e-5)).mean(1)
    torch.testing.assert_close(nodes[:, settings_.label_set.aus.index(au)], wanted)
    torch.testing.assert_close(logits[group], layer.heads[group](region.mean(1)))


@pytest.mark.parametrize("edges", ["cross_active", "cross_full", "full", "local"])
def test_graph_attention_against_neighbour_lists(edges: Any) -> None:
    settings_ = config(edges=edges)
    layer = CrossRegionalGraph(settings_)
    torch.nn.init.normal_(layer.bias)
    aus, groups = settings_.label_set.aus, settings_.layout.groups
    group = [next(i for i, g in enumerate(groups) if au in g.aus) for au in aus]
    nodes, active = torch.randn(3, 12, 6), torch.randint(0, 2, (3, 12)).float()
    got = layer(nodes, active)
    for frame in range(3):
        v, wv = nodes[frame], nodes[frame] @ layer.linear.weight.T
        for n in range(12):
            neighbours = [
                m
                for m in range(12)
                if m == n
                or edges == "full"
                or (edges == "local" and group[m] == group[n])
                or (edges == "cross_full" and group[m] != group[n])
                or (edges == "cross_active" and group[m] != group[n] and active[frame, m] == 1)
            ]
            e = torch.stack([wv[m] @ layer.source + wv[n] @ layer.target for m in neighbours])
            alpha = torch.nn.functional.leaky_relu(e, 0.2).softmax(0)
            out = sum(a * wv[m] for a, m in zip(alpha, neighbours, strict=True))
            torch.testing.assert_close(got[frame, n], torch.nn.functional.elu(out + v[n] + layer.bias))


def test_temporal_convolution_against_a_loop() -> None:
    layer = TemporalConvolution(config("disfa")).eval()
    x = torch.randn(2, 7, 8, 6)
    got = layer(x)
    weight, bias = layer.conv.weight.reshape(8, 6, 5), layer.conv.bias.reshape(8, 6)
    for t in range(7):
        window = [x[:, t + j - 2] if 0 <= t + j - 2 < 7 else torch.zeros(2, 8, 6) for j in range(5)]
        value = sum(weight[:, :, j] * window[j] for j in range(5)) + bias
        torch.testing.assert_close(got[:, t], value / np.sqrt(1 + 1e-5))


def test_score_is_the_cosine_of_what_is_positive() -> None:
    layer = SimilarityScore(config("disfa"))
    v = torch.randn(2, 3, 8, 6)
    wanted = torch.nn.functional.cosine_similarity(v.relu(), layer.reference.relu().expand_as(v), dim=-1)
    torch.testing.assert_close(layer(v), wanted)
    assert (layer(-v.abs()) == 0).all()


def test_score_keeps_its_accuracy_in_half_precision() -> None:
    layer = SimilarityScore(config("disfa")).half()
    long = torch.full((1, 1, 8, 6), 30000.0, dtype=torch.float16)  # the squares overflow half precision
    wanted = torch.nn.functional.cosine_similarity(long.float(), layer.reference.float().relu().expand(1, 1, 8, 6), -1)
    torch.testing.assert_close(layer(long).float(), wanted)
    assert (layer(torch.zeros_like(long)) == 0).all()
