"""Measures a face: pose, gaze, size, sharpness, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import import_cv2
from ...measures import TRUSTED, FaceMeasures
from ..sources.source import Image
from .gaze import eye_directions
from .pose import HeadPose, head_pose

# Where a face stops being trusted. At each of the first three the mean AUC of `edge` on rendered faces has fallen from
# 0.95 to about 0.91 (benchmarks/accuracy/trust.py); the last one was not measured.
LEAST_EYES_PX = 18.0
MOST_TURN_DEG = 45.0
LEAST_SHARPNESS = 0.1
LEAST_INSIDE = 0.9

DETAIL_PX = 112  # side of the crop whose detail is measured
FACE_POINTS = 468  # without the irises


def measure(landmarks_px: NDArray[np.float32], crop: Image, size_px: Sequence[int]) -> FaceMeasures:
    """Measure one face.

    Args:
        landmarks_px: (478, 3) float32 face mesh in pixels of the frame.
        crop: (S, S, 3) uint8 BGR, the aligned face as the model sees it.
        size_px: width and height of the frame.

    Raises:
        InputError: landmarks of another shape, not finite, or in one spot.
    """
    pose = head_pose(landmarks_px, size_px)
    eyes = eye_directions(landmarks_px, pose)
    gaze_pitch, gaze_yaw = _mean_deg(eyes)
    sharp, inside = sharpness(crop), inside_share(landmarks_px, size_px)
    quality, reason = _judge(pose, sharp, inside)
    (right, left) = eyes.tolist()
    return FaceMeasures(
        pose.pitch_deg, pose.yaw_deg, pose.roll_deg, pose.distance_eyes, gaze_pitch, gaze_yaw, pose.scale_px, sharp,
        inside, quality, reason, (tuple(right), tuple(left)),
    )  # fmt: skip


def sharpness(crop: Image) -> float:
    """Contrast of fine detail over the contrast of the whole face, both on 112 x 112 pixels of grey."""
    cv2 = import_cv2()
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    if len(grey) != DETAIL_PX:
        grey = cv2.resize(grey, (DETAIL_PX, DETAIL_PX), interpolation=cv2.INTER_AREA)
    fine = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1]
    return float(fine[0, 0]) / max(float(cv2.meanStdDev(grey)[1][0, 0]), 1.0)


def inside_share(landmarks_px: NDArray[np.float32], size_px: Sequence[int]) -> float:
    """Share of the mesh's points that lie inside the frame, 0 to 1."""
    points = landmarks_px[:FACE_POINTS, :2]
    if (points.min(axis=0) >= 0).all() and (points.max(axis=0) <= size_px).all():
        return 1.0
    return float(((points >= 0) & (points <= np.asarray(size_px))).all(axis=1).mean())


def _judge(pose: HeadPose, sharp: float, inside: float) -> tuple[float, str]:
    """The worst of four qualities, each of which is one half where its limit is; and its name if it is below."""
    turn_deg = math.degrees(math.acos(min(1.0, max(-1.0, float(pose.rotation[2, 2])))))
    parts = {
        "cut_off": 1 - (1 - inside) / (2 * (1 - LEAST_INSIDE)),
        "too_small": pose.scale_px / (2 * LEAST_EYES_PX),
        "turned_away": 1 - turn_deg / (2 * MOST_TURN_DEG),
        "blurred": sharp / (2 * LEAST_SHARPNESS),
    }
    worst = min(parts, key=parts.__getitem__)
    quality = min(1.0, max(0.0, parts[worst]))
    return quality, "" if quality >= TRUSTED else worst


def _mean_deg(eyes: NDArray[np.float64]) -> tuple[float, float]:
    """Pitch and yaw of the mean of two directions (2, 3); of one where the other is closed, NaN where both are."""
    open_eyes = eyes[np.isfinite(eyes).all(axis=1)]
    if not len(open_eyes):
        return math.nan, math.nan
    x, y, z = open_eyes.mean(axis=0).tolist()
    return math.degrees(math.atan2(y, math.hypot(x, z))), math.degrees(math.atan2(x, z))
