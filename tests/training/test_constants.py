"""The floor of F1 from the field's own lists, where MDHR_OFFICIAL_LISTS names their folder.

Fold 1's two halves are the whole data set, and the subjects of the other folds are known: all test halves follow.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from field_counts import FOLDS
from mdhr_sdk.training.data.datasets import DATASETS
from mdhr_sdk.training.data.lists import read_fold
from mdhr_sdk.training.evaluate.evaluation import LAST, Result, judge
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions

pytestmark = pytest.mark.skipif(
    "MDHR_OFFICIAL_LISTS" not in os.environ, reason="MDHR_OFFICIAL_LISTS names no folder of the field's lists"
)


@pytest.mark.parametrize(("name", "percent"), [("bp4d", 48.0), ("disfa", 18.6)])
def test_an_evaluator_gives_the_constants_of_all_positive_guessing(name: str, percent: float) -> None:
    spec = DATASETS[name]
    halves = read_fold(Path(os.environ["MDHR_OFFICIAL_LISTS"]), spec, 1)
    labels = np.concatenate([halves.train.labels, halves.test.labels])
    subjects = np.array([*halves.train.subjects, *halves.test.subjects])
    results = []
    for fold, (rows, positives) in enumerate(FOLDS[name], start=1):
        mine = np.isin(subjects, spec.test_subjects(fold))
        assert mine.sum() == rows and (labels[mine] == 1).sum(axis=0).tolist() == positives
        names = tuple(subjects[mine].tolist())
        frames = Frames(spec.label_set.codes, labels[mine], names, names, np.zeros(1, np.int64))
        guess = Predictions(frames, np.ones(labels[mine].shape, np.float32))
        results.append(judge(guess, (0.5,) * labels.shape[1], fold))
    assert round(100 * Result(LAST, spec.label_set.codes, tuple(results)).f1, 1) == percent
