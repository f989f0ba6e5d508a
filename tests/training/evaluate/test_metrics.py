"""Counts against scikit-learn and slow loops, and the constants that every evaluator of these data sets must give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from field_counts import FOLDS
from mdhr_sdk.errors import InputError
from mdhr_sdk.training.evaluate.metrics import area_under_curve, count, count_events, mean


def random_case(seed: int, rows: int, aus: int, unknown: float) -> tuple[Any, Any, Any]:
    """Scores with ties, labels with -1, decisions."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (rows, aus)).astype(np.int8)
    labels[rng.random((rows, aus)) < unknown] = -1
    scores = rng.integers(0, 8, (rows, aus)) / 7
    return scores, labels, scores >= 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(0, 40), st.integers(1, 4), st.sampled_from([0, 0.3, 1]))
def test_counts_and_ratios_are_those_of_scikit_learn(seed: int, rows: int, aus: int, unknown: float) -> None:
    scores, labels, predicted = random_case(seed, rows, aus, unknown)
    ours, areas = count(predicted, labels), area_under_curve(scores, labels)
    for au in range(aus):
        known = labels[:, au] >= 0
        truth, decided = labels[known, au], predicted[known, au].astype(int)
        found = [[ours.tn[au], ours.fp[au]], [ours.fn[au], ours.tp[au]]]
        np.testing.assert_array_equal(found, sk.confusion_matrix(truth, decided, labels=[0, 1]) if known.any() else 0)
        if truth.any():  # scikit-learn gives 0 to a false alarm where nothing occurs; here such an AU has no F1
            assert ours.f1[au] == pytest.approx(sk.f1_score(truth, decided), abs=1e-12)
        else:
            assert np.isnan(ours.f1[au])
        if known.any():
            assert ours.accuracy[au] == pytest.approx(sk.accuracy_score(truth, decided), abs=1e-12)
        if len(set(truth.tolist())) == 2:
            assert areas[au] == pytest.approx(sk.roc_auc_score(truth, scores[known, au]), abs=1e-12)
        else:
            assert np.isnan(areas[au])
    known = labels >= 0
    if (labels[known] == 1).any() or predicted[known].any():
        assert ours.f1_micro == pytest.approx(sk.f1_score(labels[known], predicted[known]), abs=1e-12)


@pytest.mark.parametrize(("dataset", "percent"), [("bp4d", 48.0), ("disfa", 18.6)])
def test_guessing_that_every_au_always_occurs_gives_the_fields_constant(dataset: str, percent: float) -> None:
    folds, formula = [], []
    for rows, positives in FOLDS[dataset]:
        labels = np.arange(rows)[:, None] < np.array(positives)
        folds.append(count(np.ones(labels.shape, bool), labels.astype(np.int8)).f1_macro)
        formula.append(np.mean([2 * p / (rows + p) for p in positives]))
    assert folds == pytest.approx(formula, abs=1e-12)
    assert round(100 * mean(folds), 1) == percent


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.full((2, 3), 7), "row 0, column 0 has 7"), (np.zeros(3), "shape"), (np.zeros((3, 2)), "booleans")],
)
def test_refuses_what_are_no_labels(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        count(np.ones((2, 3), bool), labels)


def test_refuses_scores_that_are_no_numbers() -> None:
    with pytest.raises(InputError, match="row 1, column 0 has nan"):
        area_under_curve(np.array([[0.1], [np.nan]]), np.array([[0], [1]]))


def slow_events(predicted: Any, labels: Any) -> tuple[int, int, int, int]:
    """Events as sets of frames."""

    def split(frames: list[int]) -> list[set[int]]:
        groups: list[set[int]] = []
        for frame in frames:
            if groups and frame - 1 in groups[-1]:
                groups[-1].add(frame)
            else:
                groups.append({frame})
        return groups

    ours = split([t for t in range(len(labels)) if predicted[t] and labels[t] != -1])
    theirs = split([t for t in range(len(labels)) if labels[t] == 1])

    def found(some: list[set[int]], others: list[set[int]]) -> int:
        return sum(any(len(a & b) / len(a | b) >= 0.5 for b in others) for a in some)

    return len(ours), found(ours, theirs), len(theirs), found(theirs, ours)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(0, 40))
def test_events_are_those_of_a_slow_loop(seed: int, rows: int) -> None:
    _, labels, predicted = random_case(seed, rows, 2, 0.1)
    cut = rows // 2
    ours = count_events(predicted, labels, [slice(0, cut), slice(cut, rows)])
    for au in range(2):
        halves = [slow_events(predicted[part, au], labels[part, au]) for part in (slice(cut), slice(cut, None))]
        expected = np.sum(halves, axis=0)
        got = [ours.predicted[au], ours.predicted_found[au], ours.true[au], ours.true_found[au]]
        assert got == list(expected)
        precision, recall = expected[1] / max(expected[0], 1), expected[3] / max(expected[2], 1)
        if expected[2] == 0:
            assert np.isnan(ours.f1[au])
        else:
            f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
            assert ours.f1[au] == pytest.approx(f1, abs=1e-12)


def test_an_event_shifted_by_half_is_missed_at_one_half() -> None:
    labels = np.zeros((12, 1), np.int8)
    labels[2:6] = 1
    for shift, f1 in ((0, 1.0), (1, 1.0), (2, 0.0)):  # 4, 3 and 2 frames of 4, 5 and 6
        predicted = np.roll(labels == 1, shift, axis=0)
        assert count_events(predicted, labels, [slice(0, 12)]).f1_macro == f1
