"""benchmarks/accuracy/neutral.py: which frames are the reference, and what the others become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.accuracy.neutral import app, both, worth
from mdhr_sdk.errors import InputError
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


@pytest.fixture
def predictions() -> Predictions:
    """Three people in 8 frames each: one at rest for 3 frames, one for none, one all along; AU02 reads 0.6 at rest."""
    labels = np.zeros((24, 2), np.int8)
    labels[3:6, 0] = labels[8:10, 0] = labels[9, 1] = labels[4, 1] = 1
    scores = np.where(labels > 0, [0.9, 0.8], [0.1, 0.6]).astype(np.float32)
    subjects = tuple(name for name in "abc" for _ in range(8))
    paths = tuple(f"{name}/{frame}.jpg" for name in "abc" for frame in range(8))
    return Predictions(Frames(("AU01", "AU02"), labels, subjects, paths, np.array([0, 8, 16])), scores)


def test_the_frames_before_the_first_au_are_the_reference_of_the_others(predictions: Predictions) -> None:
    plain, ours = both(predictions, 2)
    assert plain.frames.paths == tuple(f"a/{frame}.jpg" for frame in range(3, 8)) == ours.frames.paths
    assert plain.frames.starts.tolist() == [0] and np.array_equal(plain.frames.labels, predictions.frames.labels[3:8])
    assert np.array_equal(plain.scores, predictions.scores[3:8])
    assert np.array_equal(ours.scores[:, 0], plain.scores[:, 0]), "0.1 at rest needs no excuse"
    assert ours.scores[2, 1] == pytest.approx(0.2)
    shifted = logit(0.8) - (logit(0.6) - logit(0.2))
    assert logit(float(ours.scores[1, 1])) == pytest.approx(shifted, abs=1e-5)


def test_false_alarms_of_a_face_at_rest_cost_f1_and_the_figures_say_so(predictions: Predictions) -> None:
    f1, area = worth(*both(predictions, 2))
    assert (f1.plain, f1.relative) == (pytest.approx((1 + 1 / 3) / 2), 0.5), "AU02 falls below 0.5 altogether"
    assert (area.plain, area.relative, area.difference.value) == (1.0, 1.0, 0.0)


def test_no_such_video_is_one_line(predictions: Predictions, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="begins with 4 frames"):
        both(predictions, 4)
    predictions.save(tmp_path / "p.npz")
    answer = CliRunner().invoke(app, [str(tmp_path / "p.npz"), "--least", "3"])
    assert answer.exit_code == 0 and "1 videos, 5 frames" in answer.output
