"""Curves and counts, against scikit-learn's; and the figures, drawn and saved."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError
from mdhr_sdk.training.evaluate.curve_figures import (
    confusion_rows,
    curve,
    draw_confusion,
    draw_precision,
    draw_thresholds,
)
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions


def predictions(codes: tuple[str, ...] = ("AU01", "AU04")) -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (80, len(codes))).astype(np.int8)
    labels[:, 1] = np.minimum(labels[:, 1], 0)  # never occurs
    scores = np.clip(labels + rng.normal(0, 0.6, labels.shape), 0, 1).astype(np.float32)
    return Predictions(Frames(codes, labels, ("F0",) * 80, tuple(map(str, range(80))), np.array([0])), scores)


@hypothesis_settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(2, 40), levels=st.sampled_from([2, 6, 1000]))
def test_a_curve_is_scikit_learns(seed: int, rows: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, levels, rows) / levels, rng.integers(-1, 2, rows)
    labels[0] = 1
    one, known = curve(scores, labels), labels >= 0
    precision, recall, thresholds = sk.precision_recall_curve(labels[known], scores[known])
    np.testing.assert_allclose(one.precision[::-1], precision[:-1])
    np.testing.assert_allclose(one.recall[::-1], recall[:-1])
    np.testing.assert_allclose(one.thresholds[::-1], thresholds)
    assert one.average == pytest.approx(sk.average_precision_score(labels[known], scores[known]))
    best = [sk.f1_score(labels[known], scores[known] >= t, zero_division=0) for t in one.thresholds]
    np.testing.assert_allclose(one.f1, best, atol=1e-12)


def test_counts_are_of_all_folds_and_figures_can_be_saved() -> None:
    one = predictions()
    header, first, second = confusion_rows([one, one])
    known = one.frames.labels[:, 0] >= 0
    tn, fp, fn, tp = sk.confusion_matrix(one.frames.labels[known, 0], one.scores[known, 0] >= 0.5).ravel()
    assert header == ["au", "tp", "fp", "fn", "tn"] and first == ["AU01", 2 * tp, 2 * fp, 2 * fn, 2 * tn]
    assert second[1] == second[3] == 0 and np.isnan(curve(one.scores[:, 1], one.frames.labels[:, 1]).average)
    for draw in (draw_precision, draw_thresholds, draw_confusion):
        page = io.BytesIO()
        draw([one, one]).savefig(page)
        assert page.tell() > 5000
    with pytest.raises(InputError, match="different AUs"):
        confusion_rows([one, predictions(("AU01", "AU12"))])
