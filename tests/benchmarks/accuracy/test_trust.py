"""benchmarks/accuracy/trust.py and pose.py: how pictures are changed and sorted."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from benchmarks.accuracy.pose import Face
from benchmarks.accuracy.trust import TURN_DEG, blurred, shrunk, turned
from mdhr_sdk.measures import rotation_of


def face(yaw_deg: float, pitch_deg: float = 0.0) -> Face:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    rotation = rotation_of(pitch_deg, yaw_deg, 20.0)
    return Face(image, rotation, rotation[:, 2], np.zeros((68, 2), np.float32), 1.0, np.zeros(15, np.float32))


def test_faces_are_sorted_by_how_far_they_look_past_the_camera():
    bins = turned([face(5), face(-35), face(0, 35), face(20, 20), face(59), face(75)])
    assert [len(one) for one in bins] == [1, 1, 2, 0, 1] and len(bins) == len(TURN_DEG) - 1


def test_pictures_get_smaller_and_softer():
    image = face(0).image
    assert shrunk(0.25)(image).shape == (16, 16, 3) and (shrunk(1.0)(image) == image).all()
    assert (blurred(0.0)(image) == image).all() and blurred(3.0)(image).std() < 0.5 * image.std()
