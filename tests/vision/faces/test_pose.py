"""Head pose, gaze and quality: angles worked out by hand, and rendered faces whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.measures import IBUG_68, TRUSTED, ibug_landmarks, rotation_of
from mdhr_sdk.vision.faces.gaze import EYE_ANGLES, IRIS, LIDS, eye_directions
from mdhr_sdk.vision.faces.measures import (
    LEAST_EYES_PX,
    LEAST_SHARPNESS,
    MOST_TURN_DEG,
    inside_share,
    measure,
    sharpness,
)
from mdhr_sdk.vision.faces.pose import DEPTH, MEAN_FACE, RIGID, angles_deg, head_pose

SIZE_PX = (640, 480)
PLACES = [folder / "shared/facekit/facekit.npz" for folder in Path(__file__).parents]  # beside the checkout
FACEKIT = next((path for path in PLACES if path.is_file()), None)


def mesh_of(pitch: float, yaw: float, roll: float, scale: float = 100.0, at=(320.0, 240.0, 5.0)) -> np.ndarray:
    """(478, 3) a mesh whose rigid points are those of the mean face in this pose; eyes half open, looking ahead."""
    mesh, up = np.zeros((478, 3)), np.array((0, 0.04, 0))
    mesh[list(RIGID)] = MEAN_FACE
    for outer, inner, upper, lower, iris in (
        (33, 133, *LIDS[0], IRIS[0]),
        (263, 362, *LIDS[1], IRIS[1]),
    ):
        middle = (mesh[outer] + mesh[inner]) / 2
        mesh[upper], mesh[lower], mesh[iris] = middle + up, middle - up, middle
    turned = scale * mesh @ rotation_of(pitch, yaw, roll).T
    return (turned / (1, -1, -DEPTH) + at).astype(np.float32)


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, -30, 10), (-15, 40, -25), (60, 0, 90), (0, -80, 170)])
def test_the_pose_of_a_turned_mean_face_is_found(angles):
    pose = head_pose(mesh_of(*angles), SIZE_PX)
    assert (pose.pitch_deg, pose.yaw_deg, pose.roll_deg) == pytest.approx(angles, abs=1e-3)
    assert pose.rotation == pytest.approx(rotation_of(*angles), abs=1e-5)
    assert (pose.scale_px, pose.distance_eyes) == pytest.approx((100, 6.4), rel=1e-5)
    assert pose.centre_px == pytest.approx((320, 240, 5), abs=1e-3)


@pytest.mark.parametrize(
    ("angles", "nose"), [((30, 0, 0), (0, 0.5, 0.866)), ((0, 30, 0), (0.5, 0, 0.866)), ((0, 0, 30), (0, 0, 1))]
)
def test_signs_up_to_the_right_and_counter_clockwise(angles, nose):
    rotation = rotation_of(*angles)
    assert rotation[:, 2] == pytest.approx(nose, abs=1e-3), "where the face points: x right, y up, z to the camera"
    assert angles_deg(rotation) == pytest.approx(angles)
    if angles[2]:
        assert rotation[:, 1] == pytest.approx((-0.5, 0.866, 0), abs=1e-3), "the head's top goes to the left"


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (np.zeros((68, 3)), "expected landmarks of shape"),
        (np.full((478, 3), np.nan), "expected finite landmarks"),
        (np.ones((478, 3)), "landmarks in one spot"),
    ],
)
def test_a_mesh_that_has_no_pose_is_one_line(mesh, words):
    with pytest.raises(InputError, match=words):
        head_pose(mesh, SIZE_PX)


def test_eyes_in_a_mirror_look_the_other_way():
    mesh = mesh_of(0, 0, 0)
    for eye in (0, 1):
        mesh[IRIS[eye]] += (3, -1, 0)
    right, left = eye_directions(mesh, head_pose(mesh, SIZE_PX))
    flipped = mesh_of(0, 0, 0)
    for eye in (0, 1):
        flipped[IRIS[eye]] += (-3, -1, 0)
    other_right, other_left = eye_directions(flipped, head_pose(flipped, SIZE_PX))
    assert other_left == pytest.approx(right * (-1, 1, 1), abs=1e-4)
    assert other_right == pytest.approx(left * (-1, 1, 1), abs=1e-4)
    assert right[0] > 0.1 and left[0] > 0.1, "both irises lie to the picture's right"


def test_gaze_turns_with_the_head():
    straight, turned = mesh_of(0, 0, 0), mesh_of(10, 25, 5)
    ahead = eye_directions(straight, head_pose(straight, SIZE_PX))
    found = eye_directions(turned, head_pose(turned, SIZE_PX))
    assert found == pytest.approx(ahead @ rotation_of(10, 25, 5).T, abs=1e-4)
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1])


def test_a_closed_eye_has_no_gaze():
    mesh = mesh_of(0, 0, 0)
    mesh[LIDS[0][0]] = mesh[LIDS[0][1]]
    eyes = eye_directions(mesh, head_pose(mesh, SIZE_PX))
    assert np.isnan(eyes[0]).all() and np.isfinite(eyes[1]).all()
    one = measure(mesh, noise_crop(), SIZE_PX)
    assert math.isfinite(one.gaze_yaw_deg), "that of the other eye"
    mesh[LIDS[1][0]] = mesh[LIDS[1][1]]
    both = measure(mesh, noise_crop(), SIZE_PX)
    assert math.isnan(both.gaze_yaw_deg) and both.row()["gaze_yaw_deg"] is None
    assert EYE_ANGLES.shape == (2, 4)


def noise_crop() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)


@pytest.mark.parametrize(
    ("mesh", "crop", "reason"),
    [
        (mesh_of(0, 0, 0), noise_crop(), ""),
        (mesh_of(0, 0, 0, scale=0.9 * LEAST_EYES_PX), noise_crop(), "too_small"),
        (mesh_of(0, MOST_TURN_DEG + 2, 0), noise_crop(), "turned_away"),
        (mesh_of(-MOST_TURN_DEG - 2, 0, 0), noise_crop(), "turned_away"),
        (mesh_of(0, 0, 90), noise_crop(), ""),
        (mesh_of(0, 0, 0), np.tile(np.arange(224, dtype=np.uint8)[:, None, None], (1, 224, 3)), "blurred"),
        (mesh_of(0, 0, 0, at=(-5.0, 240.0, 0.0)), noise_crop(), "cut_off"),
    ],
)
def test_the_worst_of_four_makes_the_quality_and_its_reason(mesh, crop, reason):
    found = measure(mesh, crop, SIZE_PX)
    assert found.reason == reason and (found.quality >= TRUSTED) == (reason == "")
    assert 0 <= found.quality <= 1


def test_sharpness_does_not_depend_on_light_and_falls_with_blur():
    cv2 = pytest.importorskip("cv2")
    crop = cv2.resize(noise_crop()[:28, :28], (224, 224), interpolation=cv2.INTER_CUBIC)
    dark = (crop // 3 + 20).astype(np.uint8)
    assert sharpness(dark) == pytest.approx(sharpness(crop), rel=0.1)
    assert sharpness(cv2.GaussianBlur(crop, (0, 0), 12)) < 0.5 * sharpness(crop)
    assert sharpness(np.zeros((224, 224, 3), np.uint8)) == 0 < LEAST_SHARPNESS


def test_inside_counts_points_of_the_mesh():
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, 0] = np.arange(478)
    assert inside_share(mesh, (1000, 10)) == 1 and inside_share(mesh, (233, 10)) == pytest.approx(234 / 468)


def test_the_68_landmarks_are_points_of_the_mesh_and_mirror_each_other():
    assert len(IBUG_68) == len(set(IBUG_68)) == 68 and max(IBUG_68) < 468
    assert (IBUG_68[36], IBUG_68[45], IBUG_68[8], IBUG_68[30]) == (33, 263, 152, 4), "eye corners, chin, nose"
    assert ibug_landmarks(np.arange(478 * 3, dtype=np.float32).reshape(478, 3))[36, 0] == 99


@pytest.mark.slow
@pytest.mark.skipif(FACEKIT is None, reason="no packed face model beside the checkout")
def test_rendered_faces_of_known_pose_and_gaze():
    pytest.importorskip("numba")
    from benchmarks.accuracy import pose as benchmark

    errors = benchmark.measure(benchmark.rendered(FACEKIT, 2102, persons=8, poses=8))
    assert errors.missed <= 1
    size_deg = np.abs(errors.angles_deg).mean(axis=0)
    assert size_deg.mean() <= 2.5 and (size_deg <= 4).all(), "pitch, yaw and roll of eight people within 30 degrees"
    assert np.abs(errors.gaze_deg).mean() <= 8 and errors.landmarks.mean() <= 0.06


def test_measures_of_a_row_come_back():
    found = measure(mesh_of(10, 20, -5), noise_crop(), SIZE_PX)
    assert found.rotation == pytest.approx(rotation_of(10, 20, -5), abs=1e-4)
    assert found.row()["yaw_deg"] == pytest.approx(20, abs=1e-3)
    assert replace(found, gaze_yaw_deg=math.nan).row()["gaze_yaw_deg"] is None
