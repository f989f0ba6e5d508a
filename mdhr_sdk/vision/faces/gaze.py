"""Where the eyes look, from the irises of the mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pose import UPRIGHT, HeadPose

# Of the subject's right and left eye: outer and inner corner, the lids' middles, the iris.
CORNERS = ((33, 133), (263, 362))
LIDS = ((159, 145), (386, 374))
IRIS = (468, 473)
LEAST_OPEN = 0.12  # lids nearer than this, in eye widths, hide the iris: no gaze
# Pitch and yaw in degrees of a right eye in its head, as sums of `gaze_terms`; a left eye is one seen in a mirror. Made
# on rendered faces by benchmarks/accuracy/pose_constants.py.
EYE_ANGLES = np.array(((-16.88, -2.67, 91.10, 39.24), (-0.32, 118.50, -13.85, 6.91)))
_POINTS = [point for eye in range(2) for point in (*CORNERS[eye], *LIDS[eye], IRIS[eye])]
_MIRROR = np.array(((1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)))


def eye_offsets(landmarks_px: NDArray[np.float32], pose: HeadPose) -> NDArray[np.float64]:
    """(2, 3) of the right and the left eye, in eye widths and the head's directions: the iris right of and above the
    middle of the corners, and the gap between the lids."""
    points = (landmarks_px.take(_POINTS, axis=0) - pose.centre_px) * UPRIGHT
    outer, inner, upper, lower, iris = (points @ pose.rotation).reshape(2, 5, 3).transpose(1, 0, 2)
    width = np.sqrt(((outer - inner) ** 2).sum(axis=1))
    offset = iris - (outer + inner) / 2
    return np.stack([offset[:, 0], offset[:, 1], (upper - lower)[:, 1]], axis=1) / width[:, None]


def gaze_terms(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) of (n, 3) offsets: 1, across, up, and the lids' gap, which follows the gaze up and down."""
    return np.concatenate([np.ones((len(offsets), 1)), offsets], axis=1)


def eye_directions(landmarks_px: NDArray[np.float32], pose: HeadPose) -> NDArray[np.float64]:
    """(2, 3) unit vectors along which the subject's right and left eye look, in the camera's directions (`HeadPose`).

    NaN for an eye that is closed.
    """
    offsets = eye_offsets(landmarks_px, pose)
    pitch, yaw = np.deg2rad(gaze_terms(offsets * _MIRROR) @ EYE_ANGLES.T).T
    yaw = yaw * (1.0, -1.0)
    across = np.cos(pitch)
    looks = np.stack([across * np.sin(yaw), np.sin(pitch), across * np.cos(yaw)], axis=1)
    looks[offsets[:, 2] < LEAST_OPEN] = np.nan
    return np.asarray(looks @ pose.rotation.T)
