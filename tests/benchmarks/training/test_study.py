"""The study in small: what can only be told from motion is not told without MFD."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.training import study
from commands import Command
from mdhr_sdk.model import build_mdhr


def test_no_single_frame_tells_what_moves() -> None:
    """Mean, deviation and differences of neighbouring pixels of the patch, for moving and for still frames."""
    rng = np.random.default_rng(0)
    moving = np.stack([study._drifting(np.ones(study.T, int), rng)[-1] for _ in range(400)])
    still = np.stack([study._drifting(np.zeros(study.T, int), rng)[-1] for _ in range(400)])
    for figure in (np.mean, np.std, lambda x: np.abs(np.diff(x, axis=-1)).mean()):
        assert figure(moving) == pytest.approx(figure(still), abs=0.02)


def test_clips_show_what_their_labels_say() -> None:
    item = study.Patterns(4, seed=0)[0, 1]
    assert item["clip"].shape == (study.T, 3, study.SIZE, study.SIZE)
    labels = item["labels"].numpy()
    np.testing.assert_array_equal(labels[:, 0], labels[:, 2])
    np.testing.assert_array_equal(item["regions"][:, 0], 2 * labels[:, 0] + labels[:, 1])
    again = study.Patterns(4, seed=0)[0, 1]
    np.testing.assert_array_equal(item["clip"], again["clip"])


def test_the_loss_is_weighed_by_training_clips_alone() -> None:
    few, many = (study.data(seed=0, videos=30, tests=tests) for tests in (2, 20))
    np.testing.assert_array_equal(few.weights, many.weights)
    labels = np.concatenate([few.train[0, index]["labels"] for index in range(30)])
    inverse = 1 / labels.mean(axis=0)
    np.testing.assert_allclose(few.weights, inverse / inverse.mean(), rtol=1e-6)


@pytest.mark.slow
def test_motion_needs_mfd() -> None:
    small = {"epochs": 16, "videos": 40, "tests": 30}
    full, without = (study.f1(variant, 0, **small) for variant in ("full model", "without MFD"))
    motion = [index for index, kind in enumerate(study.KINDS) if kind == "motion"]
    assert min(full[index] for index in motion) > max(without[index] for index in motion) + 0.05
    assert min(full[0], without[0]) > 0.9  # appearance needs none


def test_rows_of_au12_cannot_see_the_patch_of_au01() -> None:
    """The gradient of what AU12's extractor reads on AU01's patch is zero, on AU01's own it is not."""
    torch.manual_seed(0)
    model = build_mdhr(
        study.FAR_LABELS, "test_resnet", input_size_px=study.FAR_SIZE, au_width=8, projection_width=8, graph=False
    ).eval()
    frame = torch.randn(1, 3, study.FAR_SIZE, study.FAR_SIZE, requires_grad=True)
    nodes, _ = model.head.nodes(model.encoder(frame).static)
    seen = [torch.autograd.grad(node.abs().sum(), frame, retain_graph=True)[0] for node in nodes[0]]
    patch = (..., slice(4, 4 + study.PATCH), slice(4, 4 + study.PATCH))
    assert seen[0][patch].abs().max() > 0
    assert seen[1][patch].abs().max() == 0 and seen[1].abs().max() > 0


def test_far_clips_show_what_their_labels_say() -> None:
    item = study.FarPatterns(4, seed=0)[0, 1]
    assert item["clip"].shape == (study.FAR_T, 3, study.FAR_SIZE, study.FAR_SIZE)
    np.testing.assert_array_equal(item["labels"][:, 0], item["labels"][:, 1])
    np.testing.assert_array_equal(item["regions"], item["labels"])
    upright = item["labels"][:, 0].numpy() == 1
    patch = item["clip"][:, 0, 4 : 4 + study.PATCH, 4 : 4 + study.PATCH]
    across, down = (patch.diff(dim=dim).abs().mean(dim=(1, 2)).numpy() for dim in (2, 1))
    np.testing.assert_array_equal(across > down, upright)
    assert item["clip"][:, 0, 100:].std() < 0.3  # nothing below


def test_an_unknown_variant_is_one_line(command: Command) -> None:
    code, out, err = command(study.app, "--only", "all of it")
    assert (code, out) == (2, "") and "no variant 'all of it'" in err and "backbone only" in err
