"""Movements of the brows come down to where brows grow; nothing else changes, tears or folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdhr_sdk.synthetic.face.brows import DROPS_CM, inner_brows, with_low_brows
from mdhr_sdk.synthetic.face.skin import BROW_SHIFT, LOWEST_BROW, _brows
from mdhr_sdk.synthetic.kit import HEAD, SKIN, FaceKit

STEP_CM = 0.2
SHARES = np.array([
    (0.0, 3.8, 0.0), (0.0, 4.05, 0.5), (0.0, 4.3, 1.0), (-5.0, 3.4, 0.0), (5.0, 3.5, 0.2), (5.0, 3.9, 1.0),
    (4.4, 3.6, 0.0), (4.4, 3.85, 0.5), (4.4, 4.1, 1.0), (1.0, 9.25, 0.5), (1.0, 10.5, 0.0),
])  # fmt: skip


def field(x: np.ndarray, y: np.ndarray, most: float = 0.8) -> np.ndarray:
    """A movement as the face model has it: nothing at the lids, less beside them, most a centimetre above."""
    height = np.clip((y - 3.9 + 0.5 * np.clip(np.abs(x) - 3.9, 0, 1)) / 1.1, 0, 1) * np.clip((11 - y) / 5, 0, 1)
    return np.stack([0.1 * x * height, most * height, 0.2 * height], axis=-1)


def flat(kit: FaceKit, most: float = 0.8) -> FaceKit:
    """A sheet of skin with vertices 0.2 cm apart, and one of the head's behind it, moved alike by every shape."""
    x, y = np.meshgrid(np.arange(-6, 6.1, STEP_CM), np.arange(0, 12.1, STEP_CM))
    sheet = np.stack([x.ravel(), y.ravel(), np.full(x.size, 9.0)], axis=1)
    places = np.concatenate([sheet, sheet * (1, 1, -1)]).astype(np.float32)
    moved = field(places[:, 0], places[:, 1], most)
    expressions = np.broadcast_to(moved, (len(kit.shape), *places.shape)).astype(np.float32)
    material = np.repeat([SKIN, HEAD], len(sheet)).astype(np.int32)
    corners = np.arange(len(places), dtype=np.int32)
    uv = (places[:, :2] / 12).astype(np.float32)
    return replace(kit, neutral=places, expressions=expressions, corner_vertex=corners, corner_material=material,
                   corner_uv=uv, landmark_uv=np.full((68, 2), (0.0, 0.6), np.float32))  # fmt: skip


@pytest.mark.parametrize("name", DROPS_CM)
def test_skin_of_the_brows_moves_as_that_above_it_did(kit: FaceKit, name: str) -> None:
    sheet = flat(kit)
    moved = with_low_brows(sheet)[sheet.shape[f"{name}_L"]]
    for x, y, share in SHARES:
        nearest = np.argmin(np.square(sheet.neutral - (x, y, 9)).sum(axis=1))
        at = sheet.neutral[nearest]  # up to 0.1 cm from the place, and the field up to 0.75 steep
        expected = field(at[0], at[1] + share * DROPS_CM[name])
        np.testing.assert_allclose(moved[nearest], expected, atol=0.2 * DROPS_CM[name] + 0.04)
    brows = (sheet.neutral[:, 2] > 0) & (sheet.neutral[:, 1] > 4.3) & (sheet.neutral[:, 1] < 8)
    expected = field(sheet.neutral[brows, 0], sheet.neutral[brows, 1] + DROPS_CM[name])
    np.testing.assert_allclose(moved[brows], expected, atol=0.05)


def test_lids_hairline_head_and_other_movements_stay(kit: FaceKit) -> None:
    sheet = flat(kit)
    _, y, z = sheet.neutral.T
    still, moved = (z < 0) | (y < 3.39) | (y > 10.51), with_low_brows(sheet)
    shapes = [sheet.shape[f"{name}_{side}"] for name in DROPS_CM for side in "LR"]
    np.testing.assert_array_equal(moved[shapes][:, still], sheet.expressions[shapes][:, still])
    others = np.setdiff1d(np.arange(len(moved)), shapes)
    np.testing.assert_array_equal(moved[others], sheet.expressions[others])


@pytest.mark.parametrize(("name", "most"), [("browDown", -0.4 * 1.15), ("browInnerUp", 0.6), ("browOuterUp", 0.8)])
def test_no_skin_folds_over_itself_or_tears(kit: FaceKit, name: str, most: float) -> None:
    sheet = flat(kit, most)
    x, y, z = sheet.neutral.T
    rise = with_low_brows(sheet)[sheet.shape[f"{name}_R"], :, 1]
    for at in (0.0, 4.0, 4.4, 4.8, 5.2, -5.6):
        column = np.flatnonzero((z > 0) & (np.abs(x - at) < 0.01))
        apart = STEP_CM + np.diff(rise[column[np.argsort(y[column])]])
        assert apart.min() > 0.2 * STEP_CM and apart.max() < 3.5 * STEP_CM
    for at in (3.4, 3.6, 3.8, 4.0, 4.2, 5.0):
        row = np.flatnonzero((z > 0) & (np.abs(y - at) < 0.01))
        assert np.abs(np.diff(rise[row[np.argsort(x[row])]])).max() < STEP_CM


def test_inner_brows_are_where_they_are_painted(kit: FaceKit) -> None:
    sheet = flat(kit)
    np.testing.assert_allclose(sheet.neutral[inner_brows(sheet), 1] / 12, 0.6 + BROW_SHIFT[0], atol=0.1 / 12)


def test_brows_stay_above_the_lids_and_differ_in_height_and_tilt(kit: FaceKit) -> None:
    """Of 150 people: rows of the texture in which the two ends of a brow have their hair."""
    marks, size = kit.landmark_uv.copy(), 256
    marks[17:27, 1] = 0.8  # the toy's are as they come
    marks[17:22, 0], marks[22:27, 0] = np.linspace(0.25, 0.46, 5), np.linspace(0.54, 0.75, 5)
    middles = []
    for seed in range(150):
        hair = _brows(np.random.default_rng(seed), marks, size)
        rows = (np.arange(size) / size)[:, None]
        ends = [hair[:, int(a * size) : int(b * size)] for a, b in ((0.25, 0.31), (0.40, 0.46))]
        middles.append([(end * rows).sum() / end.sum() - 0.8 for end in ends])
    outer, inner = np.array(middles).T
    assert np.minimum(outer, inner).min() > LOWEST_BROW - 0.012  # strokes have a length
    assert abs((outer + inner).mean() / 2 - BROW_SHIFT[0]) < 0.008
    assert BROW_SHIFT[0] < -0.02, "at the landmarks themselves they would be where people raise them to"
    assert 0.008 < (outer - inner).std() < 0.02 and 0.008 < (outer + inner).std() / 2 < 0.018
