"""The field's own lists of fold 1, where MDHR_OFFICIAL_LISTS names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from field_counts import FOLDS
from mdhr_sdk.training.data.datasets import DATASETS
from mdhr_sdk.training.data.frames import au_weights, region_classes
from mdhr_sdk.training.data.lists import Fold, read_fold
from mdhr_sdk.training.evaluate.evaluation import LAST, Result, judge
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions
from raw_trees import rebuild, text

FOLDER = Path(os.environ.get("MDHR_OFFICIAL_LISTS", ""))
ROWS = {"bp4d": 146_847, "disfa": 130_814}
PERCENT = {"bp4d": 48.0, "disfa": 18.6}  # F1 of guessing that every AU always occurs

pytestmark = pytest.mark.skipif(
    "MDHR_OFFICIAL_LISTS" not in os.environ, reason="MDHR_OFFICIAL_LISTS names no folder of the field's lists"
)


def numbers(path: Path) -> np.ndarray:
    return np.array([[float(word) for word in line.split()] for line in text(path).splitlines()])


@pytest.fixture(params=DATASETS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def fold(name: str) -> Fold:
    return read_fold(FOLDER, DATASETS[name], 1)


def test_region_classes_and_weights_follow_from_labels_alone(name: str, fold: Fold) -> None:
    dataset, rows = DATASETS[name], 0
    for part, half in (("train", fold.train), ("test", fold.test)):
        labels = numbers(FOLDER / dataset.list_file(part, "label", 1)).astype(int)
        regions = numbers(FOLDER / dataset.list_file(part, "sub_label", 1)).astype(int)
        assert (region_classes(labels, dataset.label_set.layout) == regions).all()
        np.testing.assert_array_equal(half.regions, regions)
        rows += len(regions)
        if part == "train":
            (weights,) = numbers(FOLDER / dataset.list_file(part, "weight", 1))
            np.testing.assert_allclose(au_weights(labels), weights, rtol=0, atol=1e-6)
    assert rows == ROWS[name]


def test_subjects_and_their_order_are_those_of_the_table(name: str, fold: Fold) -> None:
    dataset = DATASETS[name]
    assert tuple(dict.fromkeys(fold.train.subjects)) == dataset.train_subjects(1, dataset.subjects)
    assert tuple(dict.fromkeys(fold.test.subjects)) == dataset.test_subjects(1)


def test_an_evaluator_gives_the_constants_of_all_positive_guessing(name: str, fold: Fold) -> None:
    """Fold 1's halves are the whole data set, and the subjects of the other folds are known: all test halves follow."""
    spec, results = DATASETS[name], []
    labels = np.concatenate([fold.train.labels, fold.test.labels])
    subjects = np.array([*fold.train.subjects, *fold.test.subjects])
    for number, (rows, positives) in enumerate(FOLDS[name], start=1):
        mine = np.isin(subjects, spec.test_subjects(number))
        assert mine.sum() == rows and (labels[mine] == 1).sum(axis=0).tolist() == positives
        names = tuple(subjects[mine].tolist())
        frames = Frames(spec.label_set.codes, labels[mine], names, names, np.zeros(1, np.int64))
        guess = Predictions(frames, np.ones(labels[mine].shape, np.float32))
        results.append(judge(guess, (0.5,) * labels.shape[1], number))
    assert round(100 * Result(LAST, spec.label_set.codes, tuple(results)).f1, 1) == PERCENT[name]


@pytest.mark.slow
def test_a_distribution_rebuilt_from_the_lists_gives_the_same_lists(name: str, fold: Fold, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    done = rebuild(dataset, fold, tmp_path / "raw", tmp_path / "out")
    assert done.listed == ROWS[name]
    for part in ("train", "test"):
        for kind in ("paths", "label", "sub_label", "weight")[: 4 if part == "train" else 3]:
            file = dataset.list_file(part, kind, 1)
            assert text(tmp_path / "out" / "list" / file) == text(FOLDER / file), file
