"""Region classes and weights against slow loops and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdhr_sdk.aus import LABEL_SETS, label_set
from mdhr_sdk.errors import DataError, InputError
from mdhr_sdk.training.data.frames import au_weights, region_classes

ROWS = st.integers(0, 2**32 - 1)


def slow_class(row: dict[int, int], aus: tuple[int, ...]) -> int:
    if any(row[au] < 0 for au in aus):
        return -1
    return int("".join(str(row[au]) for au in aus), base=2)


@pytest.mark.parametrize("name", LABEL_SETS)
@given(seed=ROWS)
def test_every_class_is_the_binary_number_of_its_group(name: str, seed: int) -> None:
    labels_of = label_set(name)
    labels = np.random.default_rng(seed).choice([-1, 0, 1], size=(5, len(labels_of.aus)), p=[0.1, 0.5, 0.4])
    for layout in (labels_of.layout, labels_of.paper_layout or labels_of.layout):
        classes = region_classes(labels, layout)
        assert classes.dtype == np.int64 and classes.shape == (5, len(layout.groups))
        for row, found in zip(labels, classes, strict=True):
            named = dict(zip(labels_of.aus, row.tolist(), strict=True))
            assert found.tolist() == [slow_class(named, group.aus) for group in layout.groups]


def test_the_first_au_of_a_group_is_the_most_significant_bit() -> None:
    labels = np.zeros((1, 12), np.int8)
    labels[0, label_set("bp4d").aus.index(12)] = 1  # first of (12, 14, 15)
    labels[0, label_set("bp4d").aus.index(24)] = 1  # last of (10, 17, 23, 24)
    assert region_classes(labels, label_set("bp4d").layout).tolist() == [[0, 0, 4, 1]]


def test_columns_in_another_order_are_named() -> None:
    labels = np.array([[1, 0, 0, 0, 0, 0, 0, 0]], np.int8)
    reversed_aus = label_set("disfa").aus[::-1]
    assert region_classes(labels, label_set("disfa").layout, reversed_aus).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("labels", [np.zeros((2, 7), int), np.full((2, 8), 7), np.array(1)])
def test_other_arrays_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"\(\.\.\., 8\) of -1, 0 and 1"):
        region_classes(labels, label_set("disfa").layout)


def test_weights_by_hand_and_unknown_labels_do_not_count() -> None:
    labels = np.array([[1, 1], [0, 1], [0, -1], [0, -1]], np.int8)  # shares 1/4 and 2/2
    np.testing.assert_allclose(au_weights(labels), [2 * 4 / 5, 2 * 1 / 5], rtol=1e-15)


def test_an_au_that_never_occurs_is_named() -> None:
    with pytest.raises(DataError, match=r"no training frame shows AU02, AU26.*add subjects"):
        au_weights(np.array([[1, 0, -1], [0, 0, -1]], np.int8), ("AU01", "AU02", "AU26"))
