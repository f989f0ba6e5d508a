"""Makes the constants of head pose, gaze and the 68 landmarks from rendered faces, whose truth is known; prints them.

They stand in `mdhr_sdk/vision/faces/pose.py`, `mdhr_sdk/vision/faces/gaze.py` and `mdhr_sdk/measures.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.accuracy.pose import Face, rendered
from benchmarks.report import console
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces.gaze import eye_offsets, gaze_terms
from mdhr_sdk.vision.faces.pose import DEPTH, RIGID, head_pose

LIMITS_DEG = (40.0, 30.0, 20.0)
FRONTAL_DEG = 15.0  # most yaw and pitch of the faces that the mean face is made of
FACE_POINTS = 468
EYE_CORNERS = (33, 263)
WIDEST_OPEN = 0.7  # lids that are less open show no gaze
# Landmarks of iBUG in the picture's left half and on the middle line, and what the others mirror.
LEFT_HALF = (*range(9), *range(17, 22), *range(27, 34), *range(36, 42), 48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67)
MIRRORED = {
    **{16 - i: i for i in range(8)}, **{26 - i: 17 + i for i in range(5)}, 35: 31, 34: 32, 45: 36, 44: 37, 43: 38,
    42: 39, 47: 40, 46: 41, 54: 48, 53: 49, 52: 50, 56: 58, 55: 59, 64: 60, 63: 61, 65: 67,
}  # fmt: skip
app = typer.Typer(add_completion=False, rich_markup_mode=None)
Faces = list[tuple[NDArray[np.float32], Face]]


def found_faces(faces: Iterable[Face]) -> Faces:
    """Each face whose mesh is found, with it."""
    with FaceMesher(1, still=True) as mesher:
        pairs = ((mesher.find(face.image), face) for face in faces)
        return [(found[0].landmarks_px, face) for found, face in pairs if found]


def mean_face(faces: Faces) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(478, 3) the symmetric mean of meshes turned to the front by their true pose, and (478,) each point's mirror."""
    limit = np.cos(np.deg2rad(FRONTAL_DEG))
    turned = []
    for mesh, face in faces:
        if face.rotation[2, 2] > limit:
            points = mesh * np.array((1.0, -1.0, -1.0)) @ face.rotation
            left, right = points[list(EYE_CORNERS)]
            turned.append((points - (left + right) / 2) / np.linalg.norm(right - left))
    mean = np.mean(turned, axis=0)
    for _ in range(3):
        other = mean * (-1, 1, 1)
        mirror = ((other[:, None] - mean[None]) ** 2).sum(axis=2).argmin(axis=1)
        mean = (mean + other[mirror]) / 2
    mean -= (mean[EYE_CORNERS[0]] + mean[EYE_CORNERS[1]]) / 2
    return mean / np.linalg.norm(mean[EYE_CORNERS[0]] - mean[EYE_CORNERS[1]]), mirror


def gaze_fit(faces: Faces) -> NDArray[np.float64]:
    """What `EYE_ANGLES` holds: least squares of the angles in the head on the iris's place, mirrored alike."""
    terms: list[Any] = [[], []]
    angles: list[Any] = [[], []]
    for mesh, face in faces:
        if face.open < WIDEST_OPEN:
            continue
        height, width = face.image.shape[:2]
        offsets = eye_offsets(mesh, head_pose(mesh, (width, height)))
        look = face.gaze @ face.rotation
        for eye, row in enumerate(offsets):
            terms[eye].append(row)
            angles[eye].append(np.degrees((np.arcsin(look[1]), np.arctan2(look[0], look[2]))))
    flip = np.array((-1.0, 1.0, 1.0))  # the left eye as a right one: what is across changes its sign
    both = np.concatenate([np.array(terms[0]), np.array(terms[1]) * flip])
    wanted = np.concatenate([np.array(angles[0]), np.array(angles[1]) * (1, -1)])
    fit, *_ = np.linalg.lstsq(gaze_terms(both), wanted, rcond=None)
    return np.asarray(fit.T)


def ibug_table(faces: Faces, mirror: NDArray[np.int64]) -> list[int]:
    """(68,) the mesh point that lies nearest to each landmark, on average over faces and in eye distances."""
    errors = np.zeros((68, FACE_POINTS))
    for mesh, face in faces:
        points = mesh[:FACE_POINTS, :2]
        scale = head_pose(mesh, (1, 1)).scale_px
        away = np.linalg.norm(face.landmarks_px[:, None] - points[None], axis=2) / scale
        errors += np.minimum(away, 0.2)  # a face that was found badly counts little
    table = dict.fromkeys(range(68), -1)
    middle = [one for one in range(FACE_POINTS) if mirror[one] == one]
    for landmark in LEFT_HALF:
        other = next((right for right, left in MIRRORED.items() if left == landmark), None)
        if other is None:
            table[landmark] = middle[int(errors[landmark, middle].argmin())]
        else:
            both = errors[landmark] + errors[other, mirror[:FACE_POINTS]]
            table[landmark], table[other] = int(both.argmin()), int(mirror[both.argmin()])
    return [table[landmark] for landmark in range(68)]


@app.command()
def constants(
    facekit: Annotated[Path, typer.Argument(help="As made by: mdhr synthetic pack.")],
    seed: Annotated[int, typer.Option(help="Which people.")] = 2100,
    persons: Annotated[int, typer.Option(min=1, help="People.")] = 70,
    poses: Annotated[int, typer.Option(min=1, help="Pictures of each.")] = 10,
) -> None:
    """Print MEAN_FACE, EYE_ANGLES and IBUG_68. The pose must be right before gaze and landmarks are."""
    faces = found_faces(rendered(facekit, seed, persons, poses, LIMITS_DEG))
    mean, mirror = mean_face(faces)
    print_constants(mean, gaze_fit(faces), ibug_table(faces, mirror))


def print_constants(mean: NDArray[np.float64], gaze: NDArray[np.float64], table: list[int]) -> None:
    """As they stand in the files."""
    rows = ", ".join(f"({x:.3f}, {y:.3f}, {z:.3f})" for x, y, z in (mean[list(RIGID)] * (1, 1, DEPTH)).tolist())
    console.print(f"MEAN_FACE = np.array(({rows}))")
    console.print(f"EYE_ANGLES = np.array({np.round(gaze, 2).tolist()})")
    console.print(f"IBUG_68 = {tuple(table)}")


if __name__ == "__main__":
    run_app(app)
