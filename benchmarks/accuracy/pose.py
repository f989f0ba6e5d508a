"""How near head pose, gaze and the 68 landmarks come to the truth: rendered faces, of which all of it is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.report import Json, console, write_json
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import require
from mdhr_sdk.measures import ibug_landmarks
from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces.gaze import eye_directions
from mdhr_sdk.vision.faces.pose import angles_deg, head_pose

if TYPE_CHECKING:
    from mdhr_sdk.synthetic.kit import FaceKit, Floats

LIMITS_DEG = (30.0, 30.0, 20.0)  # of yaw, pitch and roll, either way
GAZE_DEG = (25.0, 20.0)  # across and up, either way, in the head
LIDS_DEG = 30.0  # of gaze, at which the shape that lets the lids follow is at its full weight
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, eq=False)
class Face:
    """A rendered face and its truth, in the directions of `HeadPose`.

    Attributes:
        image: (S, S, 3) uint8 BGR.
        rotation: (3, 3) from the head's directions to the camera's.
        gaze: (3,) unit vector along which both eyes look, in the camera's directions.
        landmarks_px: (68, 2).
        open: how far the lids are open, 0 to 1.
        intensities: (15,) of the AUs, in the order of the synthetic label set.
    """

    image: NDArray[np.uint8]
    rotation: NDArray[np.float64]
    gaze: NDArray[np.float64]
    landmarks_px: NDArray[np.float32]
    open: float
    intensities: NDArray[np.float32]


def rendered(
    facekit: Path, seed: int, persons: int, poses: int, limits_deg: Sequence[float] = LIMITS_DEG, size_px: int = 256
) -> Iterator[Face]:
    """Faces of the first test persons of a seed, with expressions, in poses and gazes drawn evenly within limits."""
    require("numba", "synthetic")
    from mdhr_sdk.synthetic.dataset import PERSONS_A_SEED
    from mdhr_sdk.synthetic.face.motion import clip_motion
    from mdhr_sdk.synthetic.face.person import Person
    from mdhr_sdk.synthetic.kit import FaceKit
    from mdhr_sdk.synthetic.picture.render import Renderer, View, project, rotation
    from mdhr_sdk.synthetic.picture.scene import PIVOT, Grain, Scene, expose

    kit = FaceKit.load(facekit)
    renderer = Renderer(kit, size_px)
    first = seed * PERSONS_A_SEED + PERSONS_A_SEED // 2
    for number in range(first, first + persons):
        person, rng = Person.draw(kit, number), np.random.default_rng((number, 21))
        scene, grain = Scene.draw(rng, size_px), Grain(rng, size_px)
        motion = clip_motion(kit, rng, 0.5 * np.arange(poses), person.rest, person.lid)
        for weights, halves, shown in zip(motion.weights, motion.halves, motion.intensities, strict=True):
            turn = np.deg2rad(rng.uniform(-1, 1, 3) * limits_deg).astype(np.float32)
            yaw_deg, pitch_deg = rng.uniform(-1, 1, 2) * GAZE_DEG
            _follow(kit, weights, yaw_deg, pitch_deg)
            view = renderer.view(person, scene.camera, weights, turn)
            head, eye = rotation(*turn).astype(np.float64), rotation(*np.deg2rad((yaw_deg, -pitch_deg, 0)))
            vertices = _eyes_turned(kit, view.vertices, eye)
            placed = (vertices + person.hair_offset - PIVOT) @ head.T.astype(np.float32)
            view = View(vertices, placed, project(placed, scene.camera, renderer.side))
            picture = renderer.picture(person, scene, view, halves, turn)
            blink = max(weights[kit.shape[f"eyeBlink_{side}"]] for side in "LR")
            image = expose(picture, scene.sensor, (0.0, 0.0), grain.next())
            yield Face(image, head, head @ eye[:, 2], renderer.landmarks(view), 1 - float(blink), shown)


def _follow(kit: FaceKit, weights: Floats, yaw_deg: float, pitch_deg: float) -> None:
    """Let the lids follow the eyes, in place. The shapes of the face model move lids only."""
    across, up = yaw_deg / LIDS_DEG, pitch_deg / LIDS_DEG
    for side, sign in (("L", 1), ("R", -1)):
        weights[kit.shape[f"eyeLookOut_{side}"]] = max(sign * across, 0)
        weights[kit.shape[f"eyeLookIn_{side}"]] = max(-sign * across, 0)
        weights[kit.shape[f"eyeLookUp_{side}"]] = max(up, 0)
        weights[kit.shape[f"eyeLookDown_{side}"]] = max(-up, 0)


def _eyes_turned(kit: FaceKit, vertices: Floats, turn: NDArray[np.float32]) -> Floats:
    """(V, 3) the shaped face with both eyeballs turned about their own centres."""
    turned = vertices.copy()
    for sign in (-1, 1):
        ball = (np.abs(kit.eye_centres).sum(axis=1) > 0) & (np.sign(kit.eye_centres[:, 0]) == sign)
        centre = (kit.eye_centres[ball] + vertices[ball] - kit.neutral[ball]).mean(axis=0)
        turned[ball] = (vertices[ball] - centre) @ turn.T + centre
    return turned


@dataclass(frozen=True, eq=False)
class Errors:
    """Found less true. `angles_deg` (n, 3): pitch, yaw, roll; `between_deg` (n,): the angle between the two poses;
    `gaze_deg` (m, 2): pitch and yaw of both eyes' mean, of open eyes; `look_deg` (m,): the angle between the gazes;
    `landmarks` (k, 68): distances in outer eye distances."""

    angles_deg: NDArray[np.float64]
    between_deg: NDArray[np.float64]
    gaze_deg: NDArray[np.float64]
    look_deg: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    missed: int


def measure(faces: Iterator[Face]) -> Errors:
    """Hold what is measured on each picture against its truth."""
    angles, between, gazes, looks, marks, missed = [], [], [], [], [], 0
    with FaceMesher(1, still=True) as mesher:
        for face in faces:
            found = mesher.find(face.image)
            if not found:
                missed += 1
                continue
            mesh, (height, width) = found[0].landmarks_px, face.image.shape[:2]
            pose = head_pose(mesh, (width, height))
            angles.append((pose.pitch_deg, pose.yaw_deg, pose.roll_deg) - np.array(angles_deg(face.rotation)))
            cosine = (np.trace(pose.rotation @ face.rotation.T) - 1) / 2
            between.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
            marks.append(np.linalg.norm(ibug_landmarks(mesh)[:, :2] - face.landmarks_px, axis=1) / pose.scale_px)
            eyes = eye_directions(mesh, pose)
            if np.isfinite(eyes).all():
                ours, true = eyes.mean(axis=0) / np.linalg.norm(eyes.mean(axis=0)), face.gaze
                gazes.append(np.subtract(_direction_deg(ours), _direction_deg(true)))
                looks.append(np.degrees(np.arccos(np.clip(ours @ true, -1, 1))))
    told = [np.array(values) for values in (angles, between, gazes, looks, marks)]
    return Errors(told[0], told[1], told[2], told[3], told[4], missed)


def _direction_deg(look: NDArray[np.float64]) -> tuple[float, float]:
    x, y, z = look
    return float(np.degrees(np.arcsin(y))), float(np.degrees(np.arctan2(x, z)))


def jitter_deg(video: Path, frames: int) -> tuple[float, float]:
    """Steadiness on footage: median change of pose, and of gaze, from each frame to the mean of its two neighbours."""
    from mdhr_sdk import AUDetector

    with AUDetector.from_pretrained("edge", max_faces=1) as detector:
        rows = []
        for result in detector.predict(str(video), stream=True, measures=True):
            for one in [face.measures for face in result.faces[:1] if face.measures is not None]:
                rows.append((one.pitch_deg, one.yaw_deg, one.roll_deg, one.gaze_pitch_deg, one.gaze_yaw_deg))
            if len(rows) == frames:
                break
    values = np.array(rows)
    shake = np.abs(values[1:-1] - (values[:-2] + values[2:]) / 2)
    return float(np.median(shake[:, :3])), float(np.nanmedian(shake[:, 3:]))


@app.command()
def pose(
    facekit: Annotated[Path, typer.Argument(help="As made by: mdhr synthetic pack.")],
    seed: Annotated[int, typer.Option(help="Which people; the constants were made on seed 2100.")] = 2101,
    persons: Annotated[int, typer.Option(min=1, help="People.")] = 40,
    poses: Annotated[int, typer.Option(min=1, help="Pictures of each.")] = 12,
    video: Annotated[list[Path], typer.Option(help="Footage of one face, for the jitter.")] = [],  # noqa: B006
    frames: Annotated[int, typer.Option(min=5, help="Most frames of each.")] = 60,
    json: Json = None,
) -> None:
    """Hold pose, gaze and landmarks against rendered faces."""
    errors = measure(rendered(facekit, seed, persons, poses))
    table = Table("what", "mean error", "median", "90 %", "mean bias", "n", caption=f"faces missed: {errors.missed}")
    told: dict[str, dict[str, float]] = {}

    def row(what: str, values: NDArray[np.float64], unit: str = "°") -> None:
        size = np.abs(values)
        told[what] = {"mean": float(size.mean()), "median": float(np.median(size)), "bias": float(values.mean())}
        told[what]["p90"] = float(np.percentile(size, 90))
        cells = (size.mean(), np.median(size), np.percentile(size, 90), values.mean())
        table.add_row(what, *(f"{cell:.2f}{unit}" for cell in cells), str(len(values)))

    for place, name in enumerate(("pitch", "yaw", "roll")):
        row(name, errors.angles_deg[:, place])
    row("pose, angle between", errors.between_deg)
    row("gaze, pitch", errors.gaze_deg[:, 0])
    row("gaze, yaw", errors.gaze_deg[:, 1])
    row("gaze, angle between", errors.look_deg)
    row("68 landmarks", 100 * errors.landmarks.mean(axis=1), " % of the eye distance")
    console.print(table)
    shaken = {}
    for one in video:
        of_pose, of_gaze = jitter_deg(one, frames)
        shaken[one.name] = {"pose_deg": of_pose, "gaze_deg": of_gaze}
        console.print(f"{one.name}: jitter of a frame, pose {of_pose:.2f}°, gaze {of_gaze:.2f}°")
    write_json(json, {"seed": seed, "persons": persons, "poses": poses, "errors": told, "jitter": shaken})


if __name__ == "__main__":
    run_app(app)
