"""Results with the columns of OpenFace 2.2, for scripts that were written for it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import flag
from ...measures import FaceMeasures, ibug_landmarks
from ...results import FaceResult, FrameResult
from ..table import RowsSink

INTENSITIES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
PRESENCES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)
PRESENT = frozenset(f"AU{number:02d}" for number in PRESENCES)
STRONG = frozenset(f"AU{number:02d}" for number in INTENSITIES)
POINTS = 68
AWAY = np.array((1.0, -1.0, -1.0))  # from our directions (y up, z to the camera) to OpenFace's (y down, z away)


def openface_columns() -> list[str]:
    """The columns, in OpenFace's order."""
    numbered = [f"{axis}_{point}" for axis in "xyXYZ" for point in range(POINTS)]
    return [
        "frame", "face_id", "timestamp", "confidence", "success",
        *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
        *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
        *numbered, "p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *(f"p_{mode}" for mode in range(34)),
        *(f"AU{number:02d}_r" for number in INTENSITIES), *(f"AU{number:02d}_c" for number in PRESENCES),
    ]  # fmt: skip


class OpenFaceSink(RowsSink[FrameResult]):
    """Writes a row for each face with OpenFace's columns, units and signs; see `FileSink` for when the file appears.

    Filled are: frame (from 1), face_id (the track), timestamp, success, confidence (the face's quality), gaze, pose_R,
    x and y of the 68 landmarks, `_c` of the AUs that the model reports, and `_r` of those that have an intensity. Gaze,
    pose and confidence need `measures=True`. All else is empty: distances in millimetres, which need a calibrated
    camera, OpenFace's own shape parameters, and AUs that the model does not have. A frame without a face has success 0,
    and 0 in the columns that faces fill, as OpenFace writes it. AUs for which OpenFace has no column are left out.

    Args:
        path: the file.
        codes: the AUs that faces have, whose columns are 0 without a face.
        measures: whether the faces are measured, so that pose and gaze are 0 without a face.
    """

    def __init__(self, path: str | os.PathLike[str], codes: Sequence[str] = (), measures: bool = False) -> None:
        super().__init__(path)
        self._absent = dict.fromkeys(_filled(codes, flag("measures", measures)), 0)

    def _render(self, result: FrameResult) -> FrameResult:
        return result

    def _open(self, part: Path, first: FrameResult) -> None:
        self._begin(part, openface_columns())

    def _put(self, item: FrameResult) -> None:
        head = {"frame": item.index + 1, "timestamp": round(item.timestamp_s, 6)}
        if item.faces:
            self._add({**head, **_face(face)} for face in item.faces)
        else:
            strengths = {f"{code}_r": 0 for code in item.model.intensities if code in STRONG}
            self._add([{**head, "face_id": 0, "confidence": 0, "success": 0, **self._absent, **strengths}])


def _filled(codes: Sequence[str], measures: bool) -> list[str]:
    """The columns that a face fills."""
    names = [f"{axis}_{number}" for axis in "xy" for number in range(POINTS)]
    names += [f"{code}_c" for code in codes if code in PRESENT]
    gaze = [f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"]
    return [*names, *gaze, *(f"pose_R{axis}" for axis in "xyz")] if measures else names


def _face(face: FaceResult) -> dict[str, object]:
    row: dict[str, object] = {"face_id": face.track_id, "success": 1, **_landmarks(face)}
    row |= {f"{code}_c": int(score.occurrence) for code, score in face.aus.items() if code in PRESENT}
    strengths = {code: score.intensity for code, score in face.aus.items() if code in STRONG}
    row |= {f"{code}_r": round(strength, 2) for code, strength in strengths.items() if strength is not None}
    return row if face.measures is None else row | _measured(face.measures)


def _landmarks(face: FaceResult) -> dict[str, object]:
    if not len(face.landmarks_px):
        return {}
    points = np.round(ibug_landmarks(face.landmarks_px)[:, :2].astype(np.float64), 2).tolist()
    return {f"{axis}_{number}": point[place] for place, axis in enumerate("xy") for number, point in enumerate(points)}


def _measured(measures: FaceMeasures) -> dict[str, object]:
    row: dict[str, object] = {"confidence": round(measures.quality, 4)}
    angles = zip("xyz", angles_rad(measures.rotation), strict=True)
    row |= {f"pose_R{axis}": round(angle, 6) for axis, angle in angles}
    for eye, look in enumerate(measures.eyes or ()):  # OpenFace counts from the left of the picture: the right eye
        if math.isfinite(sum(look)):
            named = zip("xyz", (np.asarray(look) * AWAY).tolist(), strict=True)
            row |= {f"gaze_{eye}_{axis}": round(value, 6) for axis, value in named}
    return row


def angles_rad(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """OpenFace's pose_Rx, pose_Ry, pose_Rz in radians: R = Rx Ry Rz with x to the right, y down, z away.

    Positive are down, to the picture's left, and clockwise in the picture.

    Args:
        rotation: (3, 3) as of `FaceMeasures`.
    """
    turned = AWAY[:, None] * rotation * AWAY
    (r00, r01, r02), (_, _, r12), (_, _, r22) = turned.tolist()
    return math.atan2(-r12, r22), math.asin(min(1.0, max(-1.0, r02))), math.atan2(-r01, r00)
