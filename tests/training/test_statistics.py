"""Statistics against scipy, textbook formulas and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mdhr_sdk.errors import InputError
from mdhr_sdk.training.evaluate.metrics import count
from mdhr_sdk.training.evaluate.statistics import bootstrap_difference, bootstrap_f1, by_subject, mcnemar, paired_t_test


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


def test_the_bootstrap_is_that_of_a_slow_loop() -> None:
    predicted, labels = decisions(1)
    subjects = [f"F{row // 30}" for row in range(300)]
    fold = by_subject(predicted, labels, subjects)
    fast = bootstrap_f1([fold], repeats=4000)
    rng, slow = np.random.default_rng(5), []
    for _ in range(1000):
        rows = np.concatenate([np.arange(30) + 30 * s for s in rng.integers(0, 10, 10)])
        slow.append(count(predicted[rows], labels[rows]).f1_macro)
    low, high = np.quantile(slow, [0.025, 0.975])
    assert fast.value == pytest.approx(count(predicted, labels).f1_macro, abs=1e-12)
    assert (fast.low, fast.high) == pytest.approx((low, high), abs=0.01)
    assert fast == bootstrap_f1([fold], repeats=4000)
    assert bootstrap_f1([fold, fold], repeats=4000).high - fast.value < fast.high - fast.value


def test_a_difference_is_bootstrapped_in_pairs() -> None:
    labels, subjects = decisions(1)[1], [f"F{row // 30}" for row in range(300)]
    first, second = (decisions(seed)[0] for seed in (1, 2))
    counts = [[by_subject(one, labels, subjects)] for one in (first, second)]
    fast = bootstrap_difference(*counts, repeats=4000)
    rng, slow = np.random.default_rng(5), []
    for _ in range(1000):
        rows = np.concatenate([np.arange(30) + 30 * s for s in rng.integers(0, 10, 10)])
        slow.append(count(first[rows], labels[rows]).f1_macro - count(second[rows], labels[rows]).f1_macro)
    assert fast.value == pytest.approx(count(first, labels).f1_macro - count(second, labels).f1_macro, abs=1e-12)
    assert (fast.low, fast.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.015)
    same = bootstrap_difference(counts[0], counts[0])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(InputError, match="same folds and subjects"):
        bootstrap_difference(counts[0], [by_subject(first[:60], labels[:60], subjects[:60])])


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
