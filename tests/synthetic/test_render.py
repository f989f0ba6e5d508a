"""The renderer against slow, plain re-computation, and what must be true of any picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.synthetic.face.muscles import INDEX
from mdhr_sdk.synthetic.face.person import Person
from mdhr_sdk.synthetic.face.wrinkles import MASKS, wrinkle_strengths
from mdhr_sdk.synthetic.kit import FaceKit
from mdhr_sdk.synthetic.picture.raster import (
    FAR,
    blend_shapes,
    compiled,
    f32,
    rasterise,
    rasterise_depth,
    vertex_normals,
)
from mdhr_sdk.synthetic.picture.render import Renderer, project, rotation
from mdhr_sdk.synthetic.picture.scene import Camera, Scene
from mdhr_sdk.synthetic.picture.surface import value_noise

SIDE = 24


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans())
def test_every_pixel_shows_the_nearest_triangle_over_its_centre(seed: int, count: int, both_sides: bool) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-6, SIDE + 6, (3 * count, 3)).astype(np.float32)
    triangles = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    depth, shown = np.full((SIDE, SIDE), FAR, np.float32), np.full((SIDE, SIDE), -1, np.int32)
    where = np.zeros((SIDE, SIDE, 2), np.float32)
    rasterise(points, triangles, 0, count, both_sides, depth, shown, where)
    for y in range(SIDE):
        for x in range(SIDE):
            best, sure = FAR, True
            for t in range(count):
                a, b, c = points[triangles[t]].astype(np.float64)
                if np.linalg.det(np.stack([b - a, c - a])[:, :2]) > 0 and not both_sides:
                    continue  # y is downwards: it faces away
                try:
                    w1, w2 = np.linalg.solve(np.stack([b - a, c - a], axis=1)[:2], np.array([x + 0.5, y + 0.5]) - a[:2])
                except np.linalg.LinAlgError:
                    continue
                inside = min(w1, w2, 1 - w1 - w2)
                sure &= abs(inside) > 1e-4  # a centre on an edge may fall to either side
                if inside >= 0:
                    best = min(best, a[2] + w1 * (b[2] - a[2]) + w2 * (c[2] - a[2]))
            if sure:
                assert depth[y, x] == pytest.approx(best, abs=2e-2)
                assert (shown[y, x] >= 0) == (best < FAR)


def test_a_shadow_map_holds_the_nearest_depth() -> None:
    points = np.array([(2, 2, 5), (20, 2, 5), (2, 20, 5), (0, 0, 3), (23, 0, 3), (0, 23, 9)], np.float32)
    depth = np.full((SIDE, SIDE), FAR, np.float32)
    rasterise_depth(points, np.arange(6, dtype=np.int32).reshape(2, 3), 2, depth)
    assert depth[3, 15] == pytest.approx(3.913, abs=1e-3)
    assert depth[15, 3] == pytest.approx(5, abs=1e-3)
    assert depth[23, 23] == FAR


def test_shapes_add_up(kit: FaceKit) -> None:
    weights = np.random.default_rng(0).normal(0, 1, len(kit.shape)).astype(np.float32)
    out = np.empty_like(kit.neutral)
    blend_shapes(kit.neutral, kit.expressions, weights, out)
    expected = kit.neutral + np.tensordot(weights.astype(np.float64), kit.expressions.astype(np.float64), 1)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_normals_of_a_ball_point_outwards() -> None:
    from toy_face import _ball

    points, _, triangles = _ball((1.0, 2.0, 3.0), (2.0, 2.0, 2.0), 40, 80)
    out = np.empty(points.shape, np.float32)
    vertex_normals(points.astype(np.float32), triangles.astype(np.int32), out)
    outward = (points - (1, 2, 3)) / 2
    inner = slice(5 * 80, 35 * 80)  # the seam and the open poles see only half of their neighbours
    assert np.abs((out * outward).sum(axis=1)[inner]).min() > 0.97


@pytest.mark.parametrize(("pose", "axis"), [((0.3, 0, 0), 1), ((0, 0.3, 0), 0), ((0, 0, 0.3), 2)])
def test_turns_are_rotations_about_their_axes(pose: tuple[float, float, float], axis: int) -> None:
    turn = rotation(*pose)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn @ np.eye(3)[axis], np.eye(3)[axis], atol=1e-6)
    assert np.trace(turn) == pytest.approx(1 + 2 * np.cos(0.3))


def test_the_camera_spans_what_it_says() -> None:
    camera = Camera(distance_cm=50.0, focal=2 * 50 / 25, shift=(0.0, 0.0), height_cm=25.0)
    edges = project(np.array([(12.5, 0, 0), (0, 12.5, 0), (0, 0, 0)], np.float32), camera, 100)
    np.testing.assert_allclose(edges[:, :2], [(100, 50), (50, 0), (50, 50)], atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-50, 50))
def test_noise_is_smooth_and_bounded(x: float, y: float, z: float) -> None:
    here, there = value_noise(x, y, z), value_noise(x + 1e-3, y, z)
    assert 0 <= here <= 1
    assert abs(here - there) < 0.02


def test_a_picture_has_a_face_before_a_background(kit: FaceKit) -> None:
    renderer, person = Renderer(kit, 96), Person.draw(kit, 3)
    scene = Scene.draw(np.random.default_rng(1), 96)
    weights, pose = np.zeros(len(kit.shape), np.float32), np.zeros(3, np.float32)
    view = renderer.view(person, scene.camera, weights, pose)
    picture = renderer.picture(person, scene, view, np.zeros((2, 15), np.float32), pose)
    assert picture.shape == (96, 96, 3)
    assert np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1
    nose = renderer.landmarks(view)[30].astype(int)
    changed = np.abs(picture - scene.background).max(axis=2)
    assert changed[nose[1], nose[0]] > 0.01
    np.testing.assert_allclose(picture[0, 0], scene.background[0, 0], atol=1e-6)


def test_lips_are_apart_upwards_only(kit: FaceKit) -> None:
    kit = replace(kit, landmarks=np.arange(68, dtype=np.int32))  # the toy's share vertices
    renderer, scene = Renderer(kit, 64), Scene.draw(np.random.default_rng(1), 64)
    view = renderer.view(
        Person.draw(kit, 3), scene.camera, np.zeros(len(kit.shape), np.float32), np.zeros(3, np.float32)
    )
    for moved, gap in (((0, 1.2, 0), 1.2), ((0, -0.5, 0), 0), ((0.8, 0, 0.8), 0)):  # apart, past each other, aside
        view.vertices[[61, 62, 63]] = view.vertices[[67, 66, 65]] + np.array(moved, np.float32)
        assert renderer.lip_gap_cm(view) == pytest.approx(gap, abs=1e-5)


def test_skin_folds_in_the_half_that_moves(kit: FaceKit) -> None:
    halves = np.zeros((2, 15), np.float32)
    halves[0, INDEX[14]], halves[1, INDEX[12]], halves[1, INDEX[7]] = 1, 1, 1
    gain = np.arange(1, len(MASKS) + 1, dtype=np.float32) / 10
    left, right = wrinkle_strengths(halves, gain, np.zeros(len(MASKS), np.float32))
    dimple = gain[MASKS.index("dimple")]
    assert dict(zip(MASKS, left, strict=True))["dimple"] == dimple and left.sum() == dimple
    deep = {name for name, depth in zip(MASKS, right, strict=True) if depth > 0}
    assert deep == {"nasolabial", "under eye"}  # crow's feet are neither AU12's nor AU7's

    halves[:, INDEX[12]], halves[1, INDEX[6]] = 1, 1  # a smile, and on one side a laugh
    smile, laugh = (
        dict(zip(MASKS, half, strict=True)) for half in wrinkle_strengths(halves, gain, np.zeros_like(gain))
    )
    assert smile["nose"] == 0 and laugh["nose"] == pytest.approx(0.5 * gain[MASKS.index("nose")])

    renderer, person = Renderer(kit, 96), Person.draw(kit, 3)
    scene, pose = Scene.draw(np.random.default_rng(1), 96), np.zeros(3, np.float32)
    view = renderer.view(person, scene.camera, np.zeros(len(kit.shape), np.float32), pose)
    marks = renderer.landmarks(view)
    middle, left_first = int(marks[30, 0]), marks[42, 0] < marks[36, 0]  # where the picture has the left eye
    smooth = renderer.picture(person, scene, view, np.zeros_like(halves), pose)
    for half in (0, 1):
        halves[:] = 0
        halves[half] = 1
        changed = np.abs(renderer.picture(person, scene, view, halves, pose) - smooth).max(axis=2)
        sides = [changed[:, :middle].sum(), changed[:, middle:].sum()]
        left, right = sides if left_first else sides[::-1]
        assert (left > 2 * right) if half == 0 else (right > 2 * left)


def test_functions_are_compiled_where_no_folder_can_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core.caching import FunctionCache

    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available for file")

    monkeypatch.setattr(FunctionCache, "__init__", nowhere)

    def plain(x: np.float32) -> np.float32:
        return x + f32(0.5)

    assert compiled(plain)(f32(1)) == f32(1.5)
