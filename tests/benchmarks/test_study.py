"""The study in small: what can only be told from motion is not told without MFD."""

from __future__ import annotations

import numpy as np
import pytest

import study


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
