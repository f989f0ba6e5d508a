"""ICC(3,1) against the table of an analysis of variance, and what it minds and does not mind."""

from __future__ import annotations

import numpy as np
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.training.evaluate.agreement import intra_class_correlation, mean_absolute_error


def by_variance(ratings: np.ndarray) -> float:
    """(BMS - EMS) / (BMS + (k - 1) EMS) of Shrout and Fleiss (1979), from the sums of squares of (n, k) ratings."""
    n, k = ratings.shape
    total = ((ratings - ratings.mean()) ** 2).sum()
    between = k * ((ratings.mean(axis=1) - ratings.mean()) ** 2).sum()
    judges = n * ((ratings.mean(axis=0) - ratings.mean()) ** 2).sum()
    bms, ems = between / (n - 1), (total - between - judges) / ((n - 1) * (k - 1))
    return float((bms - ems) / (bms + (k - 1) * ems))


@pytest.mark.parametrize("seed", range(6))
def test_it_is_that_of_the_analysis_of_variance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 5, 2 + 40 * seed)
    told = truth * rng.uniform(0.3, 2) + rng.normal(0, 1, len(truth)) + seed
    assert intra_class_correlation(told, truth) == pytest.approx(by_variance(np.stack([told, truth], axis=1)))


def test_an_example_by_hand() -> None:
    """Judges 1 and 2 of the table of Shrout and Fleiss: sums of squares 40/3 and 27/2, of products 10."""
    ratings = np.array([[9, 2], [6, 1], [8, 4], [7, 1], [10, 5], [6, 2]], float)
    assert intra_class_correlation(*ratings.T) == pytest.approx(by_variance(ratings))
    assert intra_class_correlation(*ratings.T) == pytest.approx(2 * 10 / (40 / 3 + 27 / 2))


def test_an_offset_does_not_count_and_another_spread_does() -> None:
    truth = np.array([0, 1, 2, 3, 5.0])
    assert intra_class_correlation(truth + 1, truth) == pytest.approx(1)
    assert intra_class_correlation(0.5 * truth, truth) == pytest.approx(0.8)
    assert intra_class_correlation(-truth, truth) == pytest.approx(-1)
    assert mean_absolute_error(truth + 1, truth) == 1
    assert np.isnan(intra_class_correlation(np.ones(4), np.ones(4))) and np.isnan(intra_class_correlation([1.0], [1.0]))
    assert np.isnan(mean_absolute_error(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize("wrong", [np.zeros(3), np.array([1.0, np.nan]), np.zeros((2, 1))])
def test_what_cannot_be_compared_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="intensities"):
        intra_class_correlation(wrong, np.zeros(2))
