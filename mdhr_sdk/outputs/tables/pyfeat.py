"""Results with the columns of py-feat 2, whose `read_feat` makes a `Fex` of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...measures import FaceMeasures, ibug_landmarks
from ...results import FaceResult, FrameResult
from ..table import RowsSink

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
BOX = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore")
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
POINTS = 68


def pyfeat_columns(codes: Sequence[str]) -> list[str]:
    """The columns, in py-feat's order; AUs that only the model has come after py-feat's own."""
    known = [f"AU{number:02d}" for number in AUS]
    points = [f"{axis}_{number}" for axis in "xy" for number in range(POINTS)]
    return [
        *BOX, *points, "Pitch", "Roll", "Yaw", "X", "Y", "Z", *known, *(code for code in codes if code not in known),
        *EMOTIONS, "gaze_pitch", "gaze_yaw", "gaze_angle", "input", "frame", "approx_time", "Identity",
    ]  # fmt: skip


class PyFeatSink(RowsSink[FrameResult]):
    """Writes a row for each face with py-feat's columns, units and signs; see `FileSink` for when the file appears.

    Filled are: the box, FaceScore (the face's quality), 68 landmarks, Pitch, Roll and Yaw in radians, the probability
    of each AU that the model reports, gaze in radians in the head's directions, input, frame (from 0), approx_time and
    Identity (the track, as 'Person_0'). Pose, gaze and FaceScore need `measures=True`. All else is empty: emotions,
    translation, and AUs that the model does not have; columns of identity embeddings there are none.

    Args:
        path: the file.
        codes: the AU codes of the model, in its order.
    """

    def __init__(self, path: str | os.PathLike[str], codes: Sequence[str]) -> None:
        super().__init__(path)
        self._columns = pyfeat_columns(tuple(codes))

    def _render(self, result: FrameResult) -> FrameResult:
        return result

    def _open(self, part: Path, first: FrameResult) -> None:
        self._begin(part, self._columns)

    def _put(self, item: FrameResult) -> None:
        seconds = int(item.timestamp_s)
        head = {"input": item.source, "frame": item.index, "approx_time": f"{seconds // 60:02d}:{seconds % 60:02d}"}
        self._add({**head, **_face(face)} for face in item.faces) if item.faces else self._add([head])


def _face(face: FaceResult) -> dict[str, object]:
    x0, y0, x1, y1 = face.box_px
    row: dict[str, object] = dict(zip(BOX, (round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)), strict=False))
    row |= {code: round(score.probability, 6) for code, score in face.aus.items()}
    row["Identity"] = f"Person_{face.track_id}"
    if len(face.landmarks_px):
        points = np.round(ibug_landmarks(face.landmarks_px)[:, :2].astype(np.float64), 2).tolist()
        row |= {f"{axis}_{n}": point[place] for place, axis in enumerate("xy") for n, point in enumerate(points)}
    if face.measures is not None:
        row |= _measured(face.measures)
    return row


def _measured(measures: FaceMeasures) -> dict[str, object]:
    """py-feat's yaw grows to the subject's right, that of its gaze to the subject's left."""
    row: dict[str, object] = {"FaceScore": round(measures.quality, 4), "Pitch": _rad(measures.pitch_deg)}
    row |= {"Roll": _rad(measures.roll_deg), "Yaw": _rad(-measures.yaw_deg)}
    if math.isfinite(measures.gaze_yaw_deg):
        pitch, yaw = math.radians(measures.gaze_pitch_deg), math.radians(measures.gaze_yaw_deg)
        look = np.array((math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)))
        x, y, z = (measures.rotation.T @ look).tolist()
        angles = (math.atan2(y, math.hypot(x, z)), math.atan2(x, z), math.acos(min(1.0, max(-1.0, z))))
        row |= dict(zip(("gaze_pitch", "gaze_yaw", "gaze_angle"), (round(one, 6) for one in angles), strict=True))
    return row


def _rad(angle_deg: float) -> float:
    return round(math.radians(angle_deg), 6)
