"""What is said of models on the same frames: which AUs count is for the labels to say."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.stats import ttest_rel

from mdhr_sdk.cli.evaluate import as_json
from mdhr_sdk.training.evaluate.comparison import compare
from mdhr_sdk.training.evaluate.evaluation import LAST, Result, judge
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions


def test_a_false_alarm_where_nothing_occurs_takes_no_au_from_a_mean() -> None:
    """A better model with one false frame in an AU that the subject never shows must not lose against a worse one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (400, 2)).astype(np.int8)
    subjects = tuple(f"F{row // 40}" for row in range(400))
    labels[:, 1] *= rng.random(400) < 0.02  # hardly ever
    better = np.where(rng.random((400, 2)) < 0.9, labels, 1 - labels) * [1, 0] + [0, 1] * (rng.random((400, 1)) < 0.05)
    worse = np.where(rng.random((400, 2)) < 0.7, labels, 1 - labels) * [1, 0]
    frames = Frames(("AU01", "AU04"), labels, subjects, tuple(map(str, range(400))), np.arange(0, 400, 40))
    ours, theirs = (Predictions(frames, one.astype(np.float32)) for one in (better, worse))
    result = compare([ours], [theirs])
    assert result.subjects.statistic > 3 and result.subjects.p_value < 0.01
    slow = [
        [
            np.mean(
                [
                    sk.f1_score(labels[mine, au], one[mine, au], zero_division=0)
                    for au in (0, 1)
                    if labels[mine, au].any()
                ]
            )
            for one in (better > 0.5, worse > 0.5)
        ]
        for mine in (np.array(subjects) == name for name in dict.fromkeys(subjects))
    ]
    assert result.subjects.statistic == pytest.approx(ttest_rel(*np.array(slow).T).statistic)


def test_the_area_of_an_au_is_the_mean_of_the_folds_that_have_one() -> None:
    rng, folds = np.random.default_rng(1), []
    for fold in range(2):
        labels = rng.integers(-1, 2, (80, 3)).astype(np.int8)
        labels[:, 2] *= fold  # nothing to tell apart in the first
        frames = Frames(("AU01", "AU04", "AU12"), labels, ("F0",) * 80, tuple(map(str, range(80))), np.array([0]))
        folds.append(Predictions(frames, np.clip(labels + rng.normal(0, 1, (80, 3)), 0, 1).astype(np.float32)))
    result = Result(LAST, folds[0].frames.codes, tuple(judge(one, (0.5,) * 3, fold) for fold, one in enumerate(folds)))

    def area(one: Predictions, au: int) -> float:
        known = one.frames.labels[:, au] >= 0
        return float(sk.roc_auc_score(one.frames.labels[known, au], one.scores[known, au]))

    wanted = [(area(folds[0], au) + area(folds[1], au)) / 2 for au in range(2)] + [area(folds[1], 2)]
    np.testing.assert_allclose(result.areas, wanted, rtol=1e-6)
    told = as_json([result], None)["protocols"][0]["mean"]["auc_by_au"]
    assert told == pytest.approx(dict(zip(result.codes, wanted, strict=True)))
