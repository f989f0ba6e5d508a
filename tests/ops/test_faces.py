"""The kernels of a face: pictures made smaller as OpenCV does it, and meshes read as the reference reads them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import extension
from mdhr_sdk.ops.faces import FAR_PX, MeshReader, look, planes, shrink, warp
from mdhr_sdk.pipeline.scores import geometry
from mdhr_sdk.pipeline.scores.geometry import PLAIN, GeometryModel, OwnNeutral
from mdhr_sdk.vision import Face
from toy_geometry import in_pixels, network, reference

Image = NDArray[np.uint8]


@pytest.mark.parametrize(
    ("size", "small"),
    [((381, 333), (190, 166)), ((380, 333), (190, 166)), ((100, 57), (33, 19)), ((7, 7), (3, 3)), ((5, 9), (5, 4)),
     ((640, 361), (213, 121)), ((33, 1), (10, 1)), ((10, 10), (9, 9)), ((700, 400), (91, 37)), ((997, 3), (2, 2))],
)  # fmt: skip
def test_pictures_are_made_smaller_as_opencv_does_it(instructions: None, size: tuple[int, int], small: tuple[int, int]):
    (width, height), rng = size, np.random.default_rng(0)
    whole: Image = rng.integers(0, 256, (height + 5, width + 7, 3), dtype=np.uint8)
    whole[: height // 2] = 255
    part = whole[2 : 2 + height, 3 : 3 + width]
    made = shrink(part, small)
    assert made is not None
    np.testing.assert_array_equal(made, cv2.resize(part, small, interpolation=cv2.INTER_AREA))


def test_what_opencv_has_another_function_for_is_left_to_it(compiled: None):
    image = np.zeros((30, 40, 3), np.uint8)
    assert shrink(image, (20, 15)) is None and shrink(image, (20, 14)) is not None
    assert shrink(image[:, ::-1], (19, 14)) is None
    with pytest.raises(InputError, match="none that grows"):
        shrink(image, (41, 31))


def matrices(width: int, height: int, size: int) -> list[NDArray[np.float64]]:
    """Turns, scales and shifts, of which some lead out of the picture on each side."""
    rng = np.random.default_rng(width + size)
    made = []
    for _ in range(60):
        angle, scale = rng.uniform(-np.pi, np.pi), size / max(width, height) * np.exp(rng.normal(0, 1.0))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = rng.uniform(-0.3, 1.3, 2) * (width, height)
        made.append(np.column_stack([turn, size / 2 - turn @ middle]))
    return made


def noise(width: int, height: int) -> Image:
    """A part of a larger picture, so that rows have gaps."""
    whole: Image = np.random.default_rng(width).integers(0, 256, (height + 5, width + 7, 3), dtype=np.uint8)
    return whole[2 : 2 + height, 3 : 3 + width]


def by_opencv(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    made = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.uint8)


@pytest.mark.parametrize(("width", "height"), [(160, 90), (37, 61), (3, 2), (2, 3), (1, 1), (1, 40)])
@pytest.mark.parametrize("size", [1, 24, 128, 131])
def test_pictures_are_warped_as_opencv_does_it(instructions: None, width: int, height: int, size: int):
    image = noise(width, height)
    for matrix in matrices(width, height, size):
        made = warp(image, matrix, size)
        assert made is not None
        np.testing.assert_array_equal(made, by_opencv(image, matrix, size))


@pytest.mark.parametrize(("width", "height"), [(160, 90), (3, 2), (1, 1)])
def test_looks_are_as_opencv_makes_them(instructions: None, width: int, height: int):
    image, size, rng = noise(width, height), 64, np.random.default_rng(2)
    for matrix in matrices(width, height, size):
        points = rng.uniform(-9, size + 9, (70, 2)).astype(np.float32)
        made = look(image, matrix, size, points)
        assert made is not None
        soft = cv2.blur(by_opencv(image, matrix, size), (3, 3))
        cells = cv2.remap(soft, points[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        np.testing.assert_array_equal(made[0], soft)
        np.testing.assert_array_equal(made[1], cells[:, 0])


def test_what_a_warp_does_not_take_is_left_to_opencv(compiled: None):
    image, same = noise(40, 30), np.eye(2, 3)
    assert warp(image, same, 16) is not None and warp(image[:, ::-1], same, 16) is None
    for matrix in (np.zeros((2, 3)), same * np.nan, same * 1e-9, np.array([[1.0, 0, 2 * FAR_PX], [0, 1, 0]])):
        assert warp(image, matrix, 16) is None
    for points in (np.full((1, 2), np.nan), np.full((1, 2), np.inf), np.full((1, 2), FAR_PX), np.empty((0, 2))):
        assert look(image, same, 16, points.astype(np.float32)) is None


@pytest.mark.parametrize("size", [1, 7, 64])
def test_crops_become_planes_as_by_numpy(instructions: None, size: int):
    rng = np.random.default_rng(size)
    crops: Image = rng.integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    factors, shifts = rng.uniform(0.01, 0.02, 3).astype(np.float32), rng.uniform(1, 3, 3).astype(np.float32)
    made = planes(crops[::-1], factors, shifts)
    wanted = crops[::-1, :, :, ::-1].astype(np.float32) * factors - shifts
    assert made is not None
    np.testing.assert_array_equal(made, wanted.transpose(0, 3, 1, 2))


def face(seed: int, points: int = 478) -> NDArray[np.float32]:
    """The mesh of somebody whose head is turned."""
    rng = np.random.default_rng(seed)
    mean = np.concatenate([reference(), np.zeros((points - PLAIN, 3))])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn[:, 0] *= np.linalg.det(turn)
    return in_pixels((mean + rng.normal(0, 0.03, mean.shape)) @ turn, 90.0, (200, 150, 0)).astype(np.float32)


def rounded(model: GeometryModel) -> GeometryModel:
    """Weights as a file holds them."""
    return replace(model, weights=tuple(one.astype(np.float32).astype(np.float64) for one in model.weights))


@pytest.mark.parametrize("points", [478, PLAIN])
@pytest.mark.parametrize("known", [0.0, 0.4, 1.0])
def test_meshes_are_read_as_the_reference_reads_them(instructions: None, points: int, known: float):
    model, rng = rounded(network()), np.random.default_rng(1)
    reader = geometry._reader(model)
    assert isinstance(reader, MeshReader)
    for seed in range(20):
        mesh, neutral = face(seed, points), model.mean + rng.normal(0, 0.1, model.mean.shape)
        measured, logits = reader.read(mesh, neutral, known)
        wanted = model.measured(mesh)
        np.testing.assert_allclose(measured, wanted, rtol=0, atol=1e-12)
        said = model.logits(wanted[None], neutral[None], np.array([known]))[0]
        np.testing.assert_allclose(logits, said, rtol=0, atol=1e-11)


def test_weights_that_no_file_holds_and_a_missing_library_take_the_reference(
    compiled: None, monkeypatch: pytest.MonkeyPatch
):
    model = network()
    finer = replace(model, weights=tuple(one + 1e-12 for one in model.weights))
    assert geometry._reader(finer) is None
    own, faces = OwnNeutral(rounded(model)), [Face(face(seed)) for seed in range(4)]
    reads = [own.take(index / 25, {0: one})[0] for index, one in enumerate(faces)]
    monkeypatch.setattr(extension, "_load", lambda: "not built")
    bare = OwnNeutral(rounded(model))
    for index, (one, read) in enumerate(zip(faces, reads, strict=True)):
        again = bare.take(index / 25, {0: one})[0]
        np.testing.assert_allclose(again.logits, read.logits, atol=1e-10)
        assert again.at_rest == pytest.approx(read.at_rest, abs=1e-10)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e30])
def test_a_mesh_in_one_spot_or_of_no_numbers_ends(compiled: None, value: float):
    reader = geometry._reader(rounded(network()))
    assert reader is not None
    reader.read(np.full((478, 3), value, np.float32), network().mean, 0.5)


@pytest.mark.parametrize(
    ("change", "hint"),
    [({"plain": 999}, "plain"), ({"networks": 0}, "counts"), ({"rigid": 1 << 20}, "counts"),
     ({"points": 5}, "of the mesh"), ({"mean": None}, "arrays"), ({"rigid_at": None}, "rigid points"),
     ({"distances": 1}, "first width")],
)  # fmt: skip
def test_a_reader_of_other_values_is_refused(compiled: None, change: dict, hint: str):
    model = rounded(replace(network()))
    reader = geometry._reader(model)
    assert reader is not None
    for name, value in change.items():
        setattr(reader._refined, name, value)
    with pytest.raises(InputError, match=hint):
        reader.read(face(0), model.mean, 0.5)


@pytest.mark.parametrize("mesh", [face(0)[: PLAIN - 1], face(0)[:, :2], face(0)[0]])
def test_a_part_of_a_mesh_is_refused(compiled: None, mesh: NDArray[np.float32]):
    model = rounded(network())
    reader = geometry._reader(model)
    assert reader is not None
    with pytest.raises(InputError, match="give a whole mesh"):
        reader.read(mesh, model.mean, 0.5)
    with pytest.raises(InputError, match="measures at rest"):
        reader.read(face(0), model.mean[1:], 0.5)
