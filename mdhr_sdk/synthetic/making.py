"""One person's clips as aligned crops: what a worker of `dataset` does, and the record that says it is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from ..atomic import write_whole
from ..errors import DataError
from ..training.data.crop_settings import noted_otherwise
from ..training.data.cut_videos import MakeMesher
from ..training.pool import check_stopped
from ..vision import DEFAULT_TEMPLATE, TEMPLATES, Face, FaceMesher, align
from .face.muscles import AUS
from .face.person import Person
from .kit import FaceKit, Floats
from .labelled import ClipOptions, SyntheticClip, render_clip
from .picture.render import Renderer

GENERATOR = 11  # raise it whenever the same seed gives other pictures or labels
SETTINGS = "synthetic.json"
JPEG_QUALITY = 95
STILLS_FROM_S = 0.2  # frames farther apart than this are no video: each is searched for its face alone
STILL_STEP = 10  # between the numbers of such frames, so that no clip is made of them
ALIGNED_BY = list(TEMPLATES[DEFAULT_TEMPLATE].landmarks)  # of the mesh: corners of the eyes, base of the nose
TRUE = [36, 39, 42, 45, 33]  # the same among the 68 landmarks
FAR_OFF = 0.25  # eye distances from its true place within which a point of a mesh must lie


@dataclass(frozen=True)
class Task:
    """One person to make: seed, name in the paths, number and kind of clips, side of the crops, output folder."""

    seed: int
    name: str
    clips: int
    options: ClipOptions
    crop_px: int
    out: Path

    @property
    def record(self) -> Path:
        """The file that says this person is done."""
        return self.out / "progress" / f"{self.name}.json"


class Maker:
    """Renders, finds faces and cuts crops; one per process.

    `make_mesher` makes what finds faces, in place of `FaceMesher`.
    """

    def __init__(self, facekit: Path, options: ClipOptions, make_mesher: MakeMesher | None = None) -> None:
        self._renderer = Renderer(FaceKit.load(facekit), options.size_px)
        self._mesher = make_mesher() if make_mesher else FaceMesher(1, options.spacing_s > STILLS_FROM_S)

    def close(self) -> None:
        """End the face finder; nothing can be made afterwards."""
        self._mesher.close()

    def __call__(self, task: Task) -> list[dict[str, Any]]:
        """Write the crops of a person; returns one row per frame, and keeps them in `task.record`."""
        person = Person.draw(self._renderer.kit, task.seed)
        rows = []
        for number in range(task.clips):
            check_stopped()
            clip = render_clip(self._renderer, person, number, task.options)
            self._mesher.reset()
            rows += self._cut(task, number, clip)
        write_whole(task.record, json.dumps(rows), DataError)
        return rows

    def _cut(self, task: Task, number: int, clip: SyntheticClip) -> list[dict[str, Any]]:
        step = STILL_STEP if task.options.spacing_s > STILLS_FROM_S else 1
        rows = []
        for index, frame in enumerate(clip.frames):
            check_stopped()
            face = true_face(self._mesher.find(frame), clip.landmarks_px[index])
            path = f"{task.name}/{number}/{index * step}.jpg"
            if face is not None:
                crop = align(frame, face.landmarks_px, size_px=task.crop_px)
                coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
                write_whole(task.out / "img" / path, coded.tobytes(), DataError)
            rows.append(
                {
                    "path": path,
                    "found": face is not None,
                    "labels": clip.labels[index].tolist(),
                    "intensities": np.round(clip.intensities[index], 3).tolist(),
                    "yaw_deg": round(float(np.rad2deg(clip.poses_rad[index, 0])), 1),
                    "clip": {"number": number, **clip.facts},
                }
            )
        return rows


def true_face(faces: Sequence[Face], landmarks_px: Floats) -> Face | None:
    """The found face that lies on the rendered one; None if there are only meshes on an ear or a hand."""
    true = landmarks_px[TRUE]
    eyes_px = np.linalg.norm(true[:2].mean(axis=0) - true[2:4].mean(axis=0))
    for face in faces:
        off_px = np.linalg.norm(face.landmarks_px[ALIGNED_BY, :2] - true, axis=1)
        if off_px.max() <= FAR_OFF * eyes_px:
            return face
    return None


class Row(TypedDict):
    """A frame in a person's record; the clip's number stands with its facts."""

    path: str
    found: bool
    labels: Annotated[list[Literal[-1, 0, 1]], Field(min_length=len(AUS), max_length=len(AUS))]
    intensities: Annotated[list[float], Field(min_length=len(AUS), max_length=len(AUS))]
    yaw_deg: float
    clip: dict[str, Any]


ROWS: Any = TypeAdapter(list[Row])


def read_record(task: Task) -> list[dict[str, Any]] | None:
    """What an earlier run made of a task; None if it is not done, or if something of it is missing or damaged."""
    try:
        rows: list[dict[str, Any]] = ROWS.validate_json(task.record.read_bytes(), strict=True)
    except (OSError, ValueError):
        return None
    own = all(row["path"].startswith(f"{task.name}/") for row in rows)
    whole = own and all(_has_bytes(task.out / "img" / row["path"]) for row in rows if row["found"])
    return rows if whole and len(rows) == task.clips * task.options.frames else None


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0  # a power cut can leave empty files


def check_settings(out: Path, kit_sha256: str, options: ClipOptions, **more: Any) -> None:
    """Write down the settings of a folder; refuse a folder that was made with others."""
    made_by = {"generator": GENERATOR, "mediapipe": version("mediapipe"), "facekit_sha256": kit_sha256}
    settings = {**made_by, **asdict(options), **more}
    earlier = noted_otherwise(out / SETTINGS, settings)
    if "generator" in earlier:
        raise DataError(
            f"'{out}' was made by generator {earlier['generator'] or 1} and this is generator {GENERATOR}: the same "
            "seed gives other pictures or labels; take a new folder"
        )
    if other := [f"{key}: {value} there, {settings[key]} now" for key, value in earlier.items()]:
        raise DataError(f"'{out}' was made with other options ({', '.join(other)}); take them again, or another folder")
