"""Figures show the model's own numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mdhr_sdk.aus import ACTION_UNITS, label_set
from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.model import MDHR, build_mdhr, calibrate
from mdhr_sdk.training.evaluate.inspection import inspect
from mdhr_sdk.training.evaluate.paper_figures import PLACES, draw_distribution, draw_graph, draw_weights
from reference import clip


def build(**config: object) -> MDHR:
    torch.manual_seed(0)
    narrow = {"projection_width": 16, "au_width": 16, "weight_width": 4, "input_size_px": 64}
    model = build_mdhr("disfa", "resnet18", **{**narrow, **config})  # type: ignore[arg-type]
    calibrate(model, clip(1, 4, 64))
    return model


def test_inspection_is_what_the_model_computes() -> None:
    model, frames = build(), clip(1, 4, 64)
    seen = inspect(model, frames)
    with torch.no_grad():
        np.testing.assert_array_equal(seen.scores, model(torch.from_numpy(frames)).scores[0])
    assert seen.weights is not None and seen.attention is not None
    assert seen.weights.shape == (4, 4, 2, 2) and seen.attention.shape == (4, 8, 8)
    np.testing.assert_allclose(seen.weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(seen.attention.sum(axis=2), 1, atol=1e-6)
    assert (np.diagonal(seen.attention, axis1=1, axis2=2) > 0).all()
    group = [0, 0, 0, 1, 1, 2, 2, 2]  # DISFA: edges run between groups only
    same = np.equal.outer(group, group) & ~np.eye(8, dtype=bool)
    assert (seen.attention[:, same] < 1e-6).all()


def test_figures_are_written_and_say_what_they_show(tmp_path: Path) -> None:
    seen = inspect(build(), clip(1, 4, 64))
    crops = np.full((4, 64, 64, 3), 90, np.uint8)
    thresholds = [float(np.median(seen.scores))] * 8
    weights = draw_weights(crops, seen, [0, 3], (1, 2, 3, 4), trained=False)
    graph = draw_graph(crops, seen, [0, 1, 3], label_set("disfa"), thresholds, trained=True)
    titles = [axes.get_title() for axes in weights.axes]
    assert [title for title in titles if title] == ["scale 1", "scale 2", "scale 3", "scale 4"]
    assert "untrained" in weights.get_suptitle() and graph.get_suptitle() == ""
    words = [text.get_text() for text in graph.axes[0].texts]
    for index, code in enumerate(label_set("disfa").codes):
        assert f"{code} {seen.scores[0, index]:.2f}" in words
    filled = [line.get_markerfacecolor() == "white" for line in graph.axes[0].lines]
    assert filled == (seen.scores[0] >= thresholds[0]).tolist()
    for name, figure in (("weights", weights), ("graph", graph)):
        figure.savefig(tmp_path / f"{name}.png")
        assert cv2.imread(str(tmp_path / f"{name}.png")).std() > 5


def test_the_distribution_counts_labels() -> None:
    labels = np.zeros((10, 8), np.int8)
    labels[:3] = 1
    labels[9, 0] = -1
    figure = draw_distribution(labels, label_set("disfa"))
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert heights == [[3] * 8, [6, *[7] * 7], [1, *[0] * 7]]
    assert figure.axes[0].texts[0].get_text() == "33 %" and figure.axes[0].texts[1].get_text() == "30 %"


def test_every_action_unit_has_a_place() -> None:
    assert set(PLACES) == set(ACTION_UNITS)


def test_refuses_models_without_anything_to_draw() -> None:
    with pytest.raises(ConfigError, match="nothing to draw"):
        inspect(build(mfd=False, graph=False), clip(1, 4, 64))
    seen = inspect(build(mfd=False), clip(1, 4, 64))
    with pytest.raises(InputError, match="no adaptive weights"):
        draw_weights(np.zeros((4, 64, 64, 3), np.uint8), seen, [0], (1,), trained=True)
