"""The four released models: the same numbers, size and cost as the released implementation."""

from __future__ import annotations

import pytest
import torch

from golden import MODELS, SHAPES, golden, measure
from mdhr_sdk.model import build_mdhr
from mdhr_sdk.model.released import DERIVED, released_parts


@pytest.mark.slow
@pytest.mark.parametrize(("label_set", "backbone"), MODELS)
def test_agrees_with_the_released_implementation(label_set: str, backbone: str) -> None:
    errors = measure(label_set, backbone)
    assert errors.scores <= 2e-5
    assert errors.small_motion_scores <= 2e-5
    assert errors.region_logits_relative <= 1e-4
    assert errors.scores_cached <= 1e-5
    assert errors.region_logits_cached <= 1e-4
    assert errors.parameters == int(golden(label_set, backbone)["parameters"])


@pytest.mark.parametrize(("label_set", "backbone"), MODELS)
def test_knows_every_released_key_and_shape(label_set: str, backbone: str) -> None:
    with torch.device("meta"):
        model = build_mdhr(label_set, backbone)
    ours = {part.key: part.shape for parts in released_parts(model).values() for part in parts}
    released = SHAPES[f"{label_set}_{backbone}"].items()
    assert ours == {key: tuple(shape) for key, shape in released if not DERIVED.search(key)}
