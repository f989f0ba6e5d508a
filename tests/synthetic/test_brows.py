"""Movements of the brows come down to where brows grow; nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdhr_sdk.synthetic.brows import BROW_SHAPES, DROP_CM, with_low_brows
from mdhr_sdk.synthetic.kit import HEAD, SKIN, FaceKit


def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A movement that rises from the lids to the brows and falls towards the hair."""
    height = np.exp(-((y - 5.8) ** 2) / 2)
    return np.stack([0.1 * x * height, 0.8 * height, 0.2 * height], axis=-1)


@pytest.fixture
def flat(kit: FaceKit) -> FaceKit:
    """A sheet of skin with vertices 0.2 cm apart, and one of the head's behind it, moved alike by every shape."""
    x, y = np.meshgrid(np.arange(-6, 6.1, 0.2), np.arange(0, 12.1, 0.2))
    sheet = np.stack([x.ravel(), y.ravel(), np.full(x.size, 9.0)], axis=1)
    places = np.concatenate([sheet, sheet * (1, 1, -1)]).astype(np.float32)
    moved = np.broadcast_to(field(places[:, 0], places[:, 1]), (len(kit.shape), *places.shape)).astype(np.float32)
    material = np.repeat([SKIN, HEAD], len(sheet)).astype(np.int32)
    corners = np.arange(len(places), dtype=np.int32)
    return replace(kit, neutral=places, expressions=moved, corner_vertex=corners, corner_material=material)


def test_skin_of_the_brows_moves_as_that_above_it_did(flat: FaceKit) -> None:
    x, y, z = flat.neutral.T
    brows = (z > 0) & (y > 4.6) & (y < 8)
    expected = field(x, y + DROP_CM)[brows]
    moved = with_low_brows(flat)
    for name in BROW_SHAPES:
        np.testing.assert_allclose(moved[flat.shape[name]][brows], expected, atol=0.02)


def test_lids_hairline_head_and_other_movements_stay(flat: FaceKit) -> None:
    _, y, z = flat.neutral.T
    still = (z < 0) | (y < 3.49) | (y > 10.51)
    moved = with_low_brows(flat)
    shapes = [flat.shape[name] for name in BROW_SHAPES]
    np.testing.assert_array_equal(moved[shapes][:, still], flat.expressions[shapes][:, still])
    others = np.setdiff1d(np.arange(len(moved)), shapes)
    np.testing.assert_array_equal(moved[others], flat.expressions[others])


def test_nothing_tears_where_the_drop_sets_in(flat: FaceKit) -> None:
    x, y, z = flat.neutral.T
    rise = with_low_brows(flat)[flat.shape["browInnerUp_L"], :, 1]
    for at in (0.0, 4.4, -6.0):
        column = np.flatnonzero((z > 0) & (np.abs(x - at) < 0.01))
        steps = np.diff(rise[column[np.argsort(y[column])]])
        assert np.abs(steps).max() < 0.2  # of vertices 0.2 apart: no skin is folded over itself
