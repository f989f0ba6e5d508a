"""Alignment against independent references, and the model's input array."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.vision import DEFAULT_TEMPLATE, TEMPLATES, align, prepare
from mdhr_sdk.vision.align import crop_matrix, similarity

TEMPLATE = TEMPLATES[DEFAULT_TEMPLATE]


def mesh_at(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    """A mesh whose template points are a crop of side 1, scaled, turned and moved; in frame pixels."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mesh = np.full((478, 3), 1e9, np.float32)
    mesh[list(TEMPLATE.landmarks), :2] = scale * np.array(TEMPLATE.targets) @ turn.T + shift
    return mesh


def upright(side: float, corner: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A mesh whose crop is the square of `side` pixels with its upper left corner there."""
    return mesh_at(side, 0.0, corner)


def lstsq_similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The same fit from the linear system in a, b, tx, ty of x' = ax - by + tx, y' = bx + ay + ty."""
    x, y, one, nil = points[:, 0], points[:, 1], np.ones(len(points)), np.zeros(len(points))
    rows = np.vstack([np.column_stack([x, -y, one, nil]), np.column_stack([y, x, nil, one])])
    a, b, tx, ty = np.linalg.lstsq(rows, targets.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_similarity_is_the_least_squares_fit(seed, count):
    rng = np.random.default_rng(seed)
    points, targets = rng.normal(size=(2, count, 2)) * 50 + rng.normal(size=2) * 100
    matrix = similarity(points, targets)
    assert matrix.shape == (2, 3)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, lstsq_similarity(points, targets), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.full((5, 2), 1e6),
        np.array([[0, 0], [1, np.nan], [1, 0], [0, 1], [2, 2]]),
        np.zeros((5, 3)),
        np.zeros((4, 2)),
        np.zeros((1, 2)),
    ],
)
def test_points_that_fix_nothing_are_refused(points):
    with pytest.raises(InputError, match="expected"):
        similarity(points, np.array(TEMPLATE.targets))


def test_the_template_is_where_the_documentation_says():
    expected = [(0.277, 0.2935), (0.408, 0.3025), (0.592, 0.3025), (0.723, 0.2935), (0.5, 0.525)]
    np.testing.assert_allclose(TEMPLATE.targets, expected, atol=1e-12)
    assert TEMPLATE.landmarks == (33, 133, 362, 263, 2)


@pytest.mark.parametrize("columns", [2, 3])
def test_a_crop_of_its_own_size_is_the_picture_itself(columns):
    picture = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    crop = align(picture, upright(32, (20, 10))[:, :columns], size_px=32)
    np.testing.assert_array_equal(crop, picture[10:42, 20:52])
    assert align(picture, upright(32)).shape == (224, 224, 3) and crop.dtype == np.uint8


@pytest.mark.parametrize(("scale", "degrees"), [(40, 0), (100, 30), (170, -75), (64, 180), (31.7, 12)])
def test_landmarks_land_on_the_template(scale, degrees):
    mesh = mesh_at(scale, degrees, (300, 250))
    matrix = crop_matrix(mesh, size_px=128)
    landed = mesh[list(TEMPLATE.landmarks), :2] @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(landed, np.array(TEMPLATE.targets) * 128, atol=1e-3)


@pytest.mark.parametrize(("scale", "degrees"), [(60, 0), (128, 40), (128, -110), (500, 25)])
def test_a_smooth_picture_is_seen_through_the_known_move(scale, degrees):
    def picture(x, y):
        waves = [np.sin(x / 40) + np.cos(y / 50), np.cos((x + y) / 60), np.sin((x - y) / 45)]
        return np.stack([127 + 50 * wave for wave in waves], axis=-1)

    rows, columns = np.mgrid[:900, :900] + 0.5  # colours are those at the pixels' centres
    image = np.rint(picture(columns, rows)).astype(np.uint8)
    mesh = mesh_at(scale, degrees, (450, 450))
    crop = align(image, mesh, size_px=128)
    angle = np.deg2rad(degrees)
    v, u = (np.mgrid[:128, :128] + 0.5) / 128
    x = 450 + scale * (np.cos(angle) * u - np.sin(angle) * v)
    y = 450 + scale * (np.sin(angle) * u + np.cos(angle) * v)
    inside = (x > 5) & (x < 895) & (y > 5) & (y < 895)
    difference = np.abs(crop.astype(float) - picture(x, y))[inside]
    assert inside.mean() > 0.5
    assert difference.max() < 3
    assert difference.mean() < 0.6


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_fine_texture_fades_where_the_face_shrinks(offset):
    image = np.zeros((900, 900, 3), np.uint8)
    image[:, offset::4] = 255  # lines of one pixel in four: 64 on average, 0 or 255 if sampled
    crop = align(image, mesh_at(840, 0, (30, 30)), size_px=56)
    assert np.abs(crop[2:-2, 2:-2].astype(int) - 64).max() < 24
    assert crop.mean() == pytest.approx(64, abs=2)


def test_the_border_is_repeated_beyond_the_frame():
    image = np.full((50, 50, 3), 9, np.uint8)
    for corner, side in (((-30, -30), 60), ((500, 500), 60), ((-400, -400), 1000)):
        assert (align(image, upright(side, corner), size_px=32) == 9).all()


def test_what_cannot_be_aligned_is_refused():
    image, mesh = np.zeros((50, 50, 3), np.uint8), upright(40)
    broken = mesh.copy()
    broken[133, 0] = np.inf
    with pytest.raises(InputError, match="finite"):
        align(image, broken)
    unseen = mesh.copy()
    unseen[300, 2] = np.nan  # no point of the template, but one that is measured
    with pytest.raises(InputError, match="finite"):
        align(image, unseen)
    for times in (1e160, 1e-170):
        with pytest.raises(InputError, match="skip this face"):
            align(image, mesh.astype(np.float64) * times)
    with pytest.raises(InputError, match="shape"):
        align(image, mesh[:68])
    with pytest.raises(InputError, match="uint8"):
        align(image.astype(float), mesh)
    with pytest.raises(ConfigError, match="mdhr-5pt-v1"):
        align(image, mesh, template_id="other")
    for size_px in (0, -1, 56.0):
        with pytest.raises(ConfigError, match="size_px"):
            align(image, mesh, size_px=size_px)


def test_prepare_is_rgb_channels_first_and_normalised():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    crops = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    ready = prepare(crops, mean, std)
    expected = ((crops[..., ::-1] / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert ready.shape == (3, 3, 8, 8)
    assert ready.dtype == np.float32
    assert ready.flags.c_contiguous
    np.testing.assert_allclose(ready, expected, atol=1e-6)
    assert prepare(crops[:0], mean, std).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("crops", "mean", "std"),
    [
        (np.zeros((8, 8, 3), np.uint8), (0, 0, 0), (1, 1, 1)),
        (np.zeros((1, 8, 8, 3), np.float32), (0, 0, 0), (1, 1, 1)),
        (np.zeros((1, 8, 9, 3), np.uint8), (0, 0, 0), (1, 1, 1)),
        (np.zeros((1, 8, 8, 3), np.uint8), (0, 0), (1, 1, 1)),
        (np.zeros((1, 8, 8, 3), np.uint8), (0, 0, 0), (1, 0, 1)),
        (np.zeros((1, 8, 8, 3), np.uint8), (0, 0, 0), (1, float("nan"), 1)),
    ],
)
def test_prepare_refuses_other_input(crops, mean, std):
    with pytest.raises(InputError, match="expected"):
        prepare(crops, mean, std)


def test_a_reduced_region_is_the_reduced_picture():
    """The prefilter works on the crop's part of the frame; the result must not depend on that."""
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (700, 700, 3), np.uint8), (0, 0), 12)
    mesh = upright(512, (64, 96))
    whole = cv2.resize(image[96:608, 64:576], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(align(image, mesh, size_px=64).astype(int) - whole).max() <= 2
