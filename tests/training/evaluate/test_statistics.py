"""Statistics against scipy, textbook formulas and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mdhr_sdk.errors import InputError
from mdhr_sdk.training.evaluate.metrics import count
from mdhr_sdk.training.evaluate.statistics import bootstrap, by_subject, mcnemar, paired_t_test


def decisions(seed: int, rows: int = 300, aus: int = 3, right: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (rows, aus)).astype(np.int8)
    return (labels == 1) == (rng.random((rows, aus)) < right), labels


def test_counts_a_subject_add_up_to_the_fold() -> None:
    predicted, labels = decisions(0)
    subjects = [f"F{row // 40}" for row in range(300)]
    each = by_subject(predicted, labels, subjects)
    assert each.tp.shape == (8, 3)
    np.testing.assert_array_equal(each.tp.sum(axis=0), count(predicted, labels).tp)
    np.testing.assert_array_equal(each.fp[2], count(predicted[80:120], labels[80:120]).fp)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_the_bootstrap_is_that_of_a_slow_loop(seeds: tuple[int, ...]) -> None:
    """Of one model, and of the difference of two on the same subjects."""
    labels, subjects = decisions(1)[1], [f"F{row // 30}" for row in range(300)]
    models = [decisions(seed)[0] for seed in seeds]

    def figure(rows: np.ndarray) -> float:
        first, *others = (count(model[rows], labels[rows]).f1_macro for model in models)
        return first - sum(others)

    counts = [by_subject(model, labels, subjects) for model in models]
    fast = bootstrap(*([one] for one in counts), repeats=4000)
    rng = np.random.default_rng(5)
    draws = [np.concatenate([np.arange(30) + 30 * s for s in rng.integers(0, 10, 10)]) for _ in range(1000)]
    low, high = np.quantile([figure(rows) for rows in draws], [0.025, 0.975])
    assert fast.value == pytest.approx(figure(np.arange(300)), abs=1e-12)
    assert (fast.low, fast.high) == pytest.approx((low, high), abs=0.015)
    assert bootstrap(*([one, one] for one in counts), repeats=4000).high - fast.value < fast.high - fast.value


def test_a_model_does_not_differ_from_itself_nor_from_one_of_other_subjects() -> None:
    predicted, labels = decisions(1)
    counts, fewer = (by_subject(predicted[:n], labels[:n], [f"F{row // 30}" for row in range(n)]) for n in (300, 60))
    same = bootstrap([counts], [counts])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(InputError, match="same folds and subjects"):
        bootstrap([counts], [fewer])
    with pytest.raises(InputError, match="at least one subject in every fold"):
        bootstrap([])


def test_paired_t_is_the_textbooks() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(20), rng.random(20) + 0.2
    d = a - b
    t = d.mean() / (d.std(ddof=1) / np.sqrt(20))
    result = paired_t_test(a, b)
    assert (result.statistic, result.p_value) == pytest.approx((t, 2 * stats.t.sf(abs(t), 19)))
    assert paired_t_test(a, a).p_value == 1
    with pytest.raises(InputError, match="same units"):
        paired_t_test(a, b[:5])


@pytest.mark.parametrize(("only_first", "only_second"), [(4, 9), (30, 12), (0, 0), (200, 150)])
def test_mcnemar_is_the_textbooks(only_first: int, only_second: int) -> None:
    labels = np.ones((only_first + only_second + 10, 1), np.int8)
    labels[-3:] = -1
    first, second = np.ones(labels.shape, bool), np.ones(labels.shape, bool)
    second[:only_first] = False
    first[only_first : only_first + only_second] = False
    first[-2:] = False
    n = only_first + only_second
    if n == 0:
        expected = 1.0
    elif n < 25:
        expected = min(1.0, 2 * stats.binom.cdf(min(only_first, only_second), n, 0.5))
    else:
        expected = stats.chi2.sf((abs(only_first - only_second) - 1) ** 2 / n, 1)
    assert mcnemar(first, second, labels).p_value == pytest.approx(expected, rel=1e-9)
