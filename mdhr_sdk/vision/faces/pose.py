"""Head pose: how a face's mesh is turned, found by laying a rigid mean face over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError

Rotation = NDArray[np.float64]

# Mesh points that hardly move with any AU: eye corners, bridge and ridge of the nose, temples, the oval to the ears.
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 127, 356, 234, 454, 162, 389, 93, 323)
# Where they are on a mean face, in the head's directions: x to the right of a picture into whose camera it looks, y up,
# z out of the face. The unit is the distance of the outer eye corners, the origin lies between them.
# Made on rendered faces by benchmarks/accuracy/pose_constants.py.
MEAN_FACE = np.array(
    (
        (-0.500, 0.000, 0.000), (-0.202, -0.015, 0.047), (0.202, -0.015, 0.047), (0.500, 0.000, 0.000),
        (0.000, 0.045, 0.198), (0.000, -0.038, 0.237), (0.000, -0.116, 0.283), (0.000, -0.191, 0.331),
        (0.000, -0.271, 0.382), (0.000, -0.367, 0.403), (-0.768, -0.052, -0.444), (0.768, -0.052, -0.444),
        (-0.762, -0.208, -0.485), (0.762, -0.208, -0.485), (-0.755, 0.112, -0.354), (0.755, 0.112, -0.354),
        (-0.751, -0.366, -0.489), (0.751, -0.366, -0.489),
    )
)  # fmt: skip
DEPTH = 0.8  # how much of the depth of the mesh is taken: with all of it pitch is told 14 % too small

UPRIGHT = np.array((1.0, -1.0, -DEPTH))  # from the picture's directions (y down, z away) to ours
_MIDDLE = MEAN_FACE.mean(axis=0)
_CENTRED = MEAN_FACE - _MIDDLE
_SPREAD = float((_CENTRED**2).sum())


@dataclass(frozen=True, eq=False)
class HeadPose:
    """How a head is turned, seen from the camera along the line of sight to the face. 0, 0, 0 looks into the camera.

    Attributes:
        pitch_deg: up is positive.
        yaw_deg: to the picture's right (the subject's left) is positive.
        roll_deg: counter-clockwise in the picture (to the subject's right shoulder) is positive.
        rotation: (3, 3) float64, the same as a matrix: from the head's directions to the camera's. In both x points to
            the picture's right, y up, and z to the camera. The angles are those of R = Ry(yaw) Rx(-pitch) Rz(roll), so
            that yaw and pitch say where the face points, and roll how it is turned about that.
        scale_px: distance of the outer eye corners in pixels, if the face looked into the camera.
        centre_px: (3,) float64, between the outer eye corners, in pixels of the picture; z as in the mesh.
        distance_eyes: from the camera, in distances of the outer eye corners, for a lens whose focal length is the
            longer side of the picture (53 degrees). Multiply by the true focal length in pixels over that side.
    """

    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    rotation: Rotation
    scale_px: float
    centre_px: NDArray[np.float64]
    distance_eyes: float


def head_pose(landmarks_px: ArrayLike, size_px: Sequence[float]) -> HeadPose:
    """The pose of a face's mesh, by the rigid turn, scale and shift that bring a mean face closest (Kabsch).

    Args:
        landmarks_px: (478, 3) or (468, 3) face mesh in pixels of the picture.
        size_px: width and height of the picture.

    Raises:
        InputError: landmarks of another shape, not finite, or in one spot.
    """
    mesh = np.asarray(landmarks_px, np.float64)
    if mesh.ndim != 2 or mesh.shape[0] < 468 or mesh.shape[1] != 3:
        raise InputError(f"expected landmarks of shape (478, 3); got {mesh.shape}; give a whole mesh")
    points = mesh.take(RIGID, axis=0) * UPRIGHT
    middle = points.mean(axis=0)
    shared = (points - middle).T @ _CENTRED
    if not np.isfinite(shared).all():
        raise InputError("expected finite landmarks; got NaN or infinity; skip this face")
    rotation, stretch = rigid_turn(shared)
    scale = float(stretch) / _SPREAD
    if scale <= 1e-9:
        raise InputError("expected a mesh with some size; got landmarks in one spot; skip this face")
    pitch, yaw, roll = angles_deg(rotation)
    centre = (middle - scale * rotation @ _MIDDLE) / UPRIGHT
    return HeadPose(pitch, yaw, roll, rotation, scale, centre, max(size_px) / scale)


def rigid_turn(shared: NDArray[np.float64]) -> tuple[Rotation, NDArray[np.float64]]:
    """The rotations that bring points closest to others (Kabsch).

    Args:
        shared: (..., 3, 3) sums of the products of both: points.T @ others, each about its own middle.

    Returns:
        (..., 3, 3) rotations from the directions of the others to those of the points, never a reflection, and (...)
        sums of the singular values: over the sum of the squares of one side, they are the scale.
    """
    left, stretch, right = np.linalg.svd(shared)
    sign = np.sign(np.linalg.det(left @ right))
    stretch[..., 2] *= sign
    left[..., 2] *= sign[..., None]
    return left @ right, stretch.sum(axis=-1)


def angles_deg(rotation: Rotation) -> tuple[float, float, float]:
    """Pitch, yaw and roll of a rotation, as in `HeadPose`."""
    (r00, r01, r02), (r10, r11, r12), (_, _, r22) = rotation.tolist()
    pitch = math.asin(min(1.0, max(-1.0, r12)))
    roll = math.atan2(r10, r11) if math.hypot(r10, r11) > 1e-9 else math.atan2(-r01, r00)
    return math.degrees(pitch), math.degrees(math.atan2(r02, r22)), math.degrees(roll)
