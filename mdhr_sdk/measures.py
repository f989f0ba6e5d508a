"""What is measured of a face besides its action units: pose, gaze, landmarks, and how far it can be trusted."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# The mesh points that stand for the landmarks: those that lie nearest to them, on average, on rendered faces whose 68
# landmarks are known (benchmarks/accuracy/pose_constants.py).
IBUG_68: tuple[int, ...] = (
    127, 234, 93, 215, 172, 150, 149, 148, 152, 377, 378, 379, 397, 435, 323, 454, 356, 70, 63, 105, 66, 107, 336, 296,
    334, 293, 300, 168, 197, 195, 4, 240, 97, 2, 326, 460, 33, 160, 158, 133, 153, 163, 362, 385, 387, 263, 390, 380,
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 62, 81, 13, 311, 292, 402, 14, 178,
)  # fmt: skip
Direction = tuple[float, float, float]
TRUSTED = 0.5  # least quality of a face whose scores count


@dataclass(frozen=True)
class FaceMeasures:
    """Pose, gaze and quality of one face in one frame. Angles of 0 look into the camera; see `HeadPose` for the axes.

    Attributes:
        pitch_deg, yaw_deg, roll_deg: of the head. Up, to the picture's right, and counter-clockwise are positive.
        distance_eyes: from the camera in distances of the outer eye corners, for a lens of 53 degrees.
        gaze_pitch_deg, gaze_yaw_deg: where the eyes look, in the same directions; NaN where they are closed.
        eyes_px: distance of the outer eye corners, if the face looked into the camera.
        sharpness: contrast of fine detail over that of the whole face, as the model sees it; about 0.1 to 0.5.
        inside: share of the mesh that lies inside the frame, 0 to 1.
        quality: 0 to 1, the worst of four: size, turn, sharpness, inside. From 0.5 on the face can be trusted.
        reason: why not: 'too_small', 'turned_away', 'blurred', 'cut_off'; '' from 0.5 on.
        eyes: where the subject's right and left eye look, as unit vectors (x to the picture's right, y up, z to the
            camera); NaN where closed, None where only the angles are known.
    """

    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    distance_eyes: float
    gaze_pitch_deg: float
    gaze_yaw_deg: float
    eyes_px: float
    sharpness: float
    inside: float
    quality: float
    reason: str = ""
    eyes: tuple[Direction, Direction] | None = field(default=None, repr=False)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) from the head's directions to the camera's: Ry(yaw) Rx(-pitch) Rz(roll)."""
        return rotation_of(self.pitch_deg, self.yaw_deg, self.roll_deg)

    def row(self) -> dict[str, float | None]:
        """The columns of tables; None for what is not known."""
        values = {name: getattr(self, name) for name in MEASURES}
        return {name: round(float(value), 4) if math.isfinite(value) else None for name, value in values.items()}


MEASURES: tuple[str, ...] = tuple(
    one.name for one in dataclasses.fields(FaceMeasures) if one.name not in ("reason", "eyes")
)


def rotation_of(pitch_deg: float, yaw_deg: float, roll_deg: float) -> NDArray[np.float64]:
    """The rotation of these angles; see `FaceMeasures`."""
    (cp, cy, cr), (sp, sy, sr) = (np.array([f(math.radians(a)) for a in (pitch_deg, yaw_deg, roll_deg)])
                                  for f in (math.cos, math.sin))  # fmt: skip
    about_y = np.array([(cy, 0, sy), (0, 1, 0), (-sy, 0, cy)])
    about_x = np.array([(1, 0, 0), (0, cp, sp), (0, -sp, cp)])
    about_z = np.array([(cr, -sr, 0), (sr, cr, 0), (0, 0, 1)])
    return np.asarray(about_y @ about_x @ about_z, np.float64)


def ibug_landmarks(landmarks_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """(68, 3) the mesh points (478, 3) that stand for the 68 landmarks of iBUG 300-W, in its order."""
    return landmarks_px.take(IBUG_68, axis=0)
