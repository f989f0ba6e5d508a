"""Fused crops against bilinear interpolation by SciPy, and against the crops that the package makes with OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import warp_crops
from mdhr_sdk.vision import align, crop_matrix, list_sources, prepare

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RELAXED = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def similarity(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def slow_crops(image: np.ndarray, matrices: np.ndarray, size: int) -> np.ndarray:
    """(M, 3, S, S) float64 by SciPy: samples of every pixel, each mapped back on its own."""
    crops = np.zeros((len(matrices), 3, size, size))
    for crop, matrix in zip(crops, matrices, strict=True):
        taps = max(1, int(1 / np.hypot(matrix[0, 0], matrix[1, 0])))
        back = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
        fine = (np.arange(size * taps) + 0.5) / taps  # corners count from 0, so do all these centres of samples
        x, y = np.meshgrid(fine, fine)
        at = back @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)]) - 0.5
        for channel in range(3):
            plane = image[..., 2 - channel].astype(np.float64)
            samples = map_coordinates(plane, [at[1], at[0]], order=1, mode="nearest").reshape(size, taps, size, taps)
            crop[channel] = (samples.mean(axis=(1, 3)) / 255 - MEAN[channel]) / STD[channel]
    return crops


@RELAXED
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0.15, 4), st.floats(-3.2, 3.2), st.floats(-60, 60), st.floats(-60, 60)), max_size=4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_crop_is_what_bilinear_interpolation_says(backend, shape, size, poses, last, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    matrices = np.array([similarity(*pose) for pose in poses]).reshape(-1, 2, 3)
    got = warp_crops(image, matrices, size, MEAN, STD, channels_last=last, backend=backend)
    assert got.dtype == np.float32 and got.flags.c_contiguous
    wanted = slow_crops(image, matrices, size)
    np.testing.assert_allclose(np.moveaxis(got, -1, 1) if last else got, wanted, rtol=1e-5, atol=2e-5)


def test_a_picture_as_it_is_stays_as_it_is(backend: str):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    got = warp_crops(image, [similarity(1, 0, 0, 0)], 40, (0, 0, 0), (1 / 255,) * 3, backend=backend)
    np.testing.assert_allclose(got[0], image[..., ::-1].transpose(2, 0, 1), atol=1e-4)


def test_beyond_the_edge_the_border_is_repeated(backend: str):
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, -1] = (10, 20, 30)
    got = warp_crops(image, [similarity(1, 0, -1000, 4000)], 8, (0, 0, 0), (1 / 255,) * 3, backend=backend)
    np.testing.assert_allclose(got[0], np.broadcast_to([[[30]], [[20]], [[10]]], (3, 8, 8)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_crops_in_half_precision(backend: str, dtype: str):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    matrices = [similarity(0.7, 0.3, 5, -4)]
    got = warp_crops(image, matrices, 33, MEAN, STD, dtype=dtype, backend=backend)
    assert got.dtype.name == dtype
    wanted = slow_crops(image, np.array(matrices), 33)
    np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=2**-8 if dtype == "bfloat16" else 2**-11, atol=2e-5)


def test_memory_layout_does_not_matter(backend: str):
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    frozen = image.copy()
    frozen.flags.writeable = False
    views = {
        "part of a larger one": np.pad(image, ((3, 5), (7, 1), (0, 0)))[3:-5, 7:-1],
        "upside down": np.ascontiguousarray(image[::-1])[::-1],
        "mirrored": np.ascontiguousarray(image[:, ::-1])[:, ::-1],
        "RGB turned round": np.ascontiguousarray(image[..., ::-1])[..., ::-1],
        "Fortran": np.asfortranarray(image),
        "read-only": frozen,
    }
    matrices = [similarity(0.4, 0.3, 5, -4), similarity(1.4, 0, 0, 0)]
    wanted = warp_crops(image, matrices, 33, MEAN, STD, backend=backend)
    for name, view in views.items():
        got = warp_crops(view, matrices, 33, MEAN, STD, backend=backend)
        assert np.array_equal(got, wanted), name


def test_crops_are_those_of_opencv_but_for_its_rounding(backend: str, demo_path: Path):
    """OpenCV rounds positions to 1/32 of a pixel and values to bytes, and averages a shrunk region before the warp."""
    (source,) = list_sources(demo_path)
    with source:
        image = next(iter(source)).image
    rng = np.random.default_rng(0)
    for width_px, most, mean in ((40, 12, 0.6), (90, 12, 0.6), (160, 12, 0.8)):
        mesh = np.zeros((478, 2))
        mesh[[33, 133, 362, 263, 2]] = np.array([(0, 0), (0.3, 0.02), (0.7, 0.02), (1, 0), (0.5, 0.5)]) * width_px
        mesh += rng.uniform(80, 120, 2)
        wanted = prepare(align(image, mesh)[None], (0, 0, 0), (1 / 255,) * 3)
        got = warp_crops(image, crop_matrix(mesh)[None], 224, (0, 0, 0), (1 / 255,) * 3, backend=backend)
        assert np.abs(got - wanted).max() <= most and np.abs(got - wanted).mean() <= mean


def test_results_go_where_one_wants_them(backend: str):
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    out = np.full((2, 3, 20, 20), np.nan, np.float32)
    got = warp_crops(image, [similarity(1, 0, 0, 0)] * 2, 20, MEAN, STD, out=out, backend=backend)
    assert got is out and np.isfinite(out).all()


def test_the_number_of_threads_changes_no_bit(backend: str):
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    one, three = (
        warp_crops(image, [similarity(0.3, 1, 9, 9)] * 3, 50, MEAN, STD, threads=n, backend=backend) for n in (1, 3)
    )
    assert np.array_equal(one, three)


IMAGE = np.zeros((20, 30, 3), np.uint8)
MATRIX = similarity(1, 0, 0, 0)[None]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        pytest.param({"image_bgr": IMAGE[..., 0]}, r"an image \(H, W, 3\) uint8 BGR; got uint8 \(20, 30\)", id="grey"),
        pytest.param({"image_bgr": IMAGE.astype(np.float32)}, "got float32", id="float"),
        pytest.param({"image_bgr": IMAGE[:0]}, r"\(0, 30, 3\)", id="empty"),
        pytest.param({"image_bgr": IMAGE.tolist()}, "got list", id="list"),
        pytest.param({"matrices": MATRIX[0]}, r"matrices \(M, 2, 3\).*\(2, 3\)", id="one matrix"),
        pytest.param({"matrices": MATRIX * np.nan}, "finite", id="nan"),
        pytest.param({"matrices": MATRIX * 1e12}, "above 1e9", id="far"),
        pytest.param({"matrices": MATRIX * 0}, "can be inverted", id="zero"),
        pytest.param({"matrices": MATRIX * 0.001}, "less than 64 times", id="shrunk"),
        pytest.param({"matrices": [[[1, 1, 0], [1, 1, 0]]]}, "can be inverted", id="a line"),
        pytest.param({"size_px": 0}, "size_px to be an integer from 1 to", id="no size"),
        pytest.param({"size_px": 2**14}, "size_px of at most 16383; got 16384", id="too large"),
        pytest.param({"size_px": 2.5}, "size_px", id="size 2.5"),
        pytest.param({"mean": (0, 0)}, "three means", id="two means"),
        pytest.param({"std": (1, 1, 0)}, "stds above 0", id="std 0"),
        pytest.param({"mean": (0, np.nan, 0)}, "three means", id="nan mean"),
        pytest.param({"dtype": "uint8"}, "unknown dtype 'uint8'; expected one of float32", id="dtype"),
        pytest.param({"out": np.zeros((1, 3, 8, 8))}, "out as float32", id="out"),
        pytest.param({"out": np.zeros((1, 3, 8, 16), np.float32)[..., ::2]}, "without gaps", id="out with gaps"),
        pytest.param({"threads": -1}, "threads", id="threads"),
    ],
)
def test_other_inputs_are_refused(backend: str, changes: dict, hint: str):
    arguments = {"image_bgr": IMAGE, "matrices": MATRIX, "size_px": 8, "mean": MEAN, "std": STD, "backend": backend}
    with pytest.raises(InputError, match=hint):
        warp_crops(**(arguments | changes))
