"""One person's clips as aligned crops: what a worker of `dataset` does, and the record that says it is done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import DataError
from ..training.files import write_whole
from ..vision import FaceMesher, align
from .clips import ClipOptions, SyntheticClip, render_clip
from .kit import FaceKit
from .person import Person
from .render import Renderer

JPEG_QUALITY = 95
STILLS_FROM_S = 0.2  # frames farther apart than this are no video: each is searched for its face alone
STILL_STEP = 10  # between the numbers of such frames, so that no clip is made of them


@dataclass(frozen=True)
class Task:
    """What one worker makes.

    Attributes:
        seed: the person.
        name: as in the paths.
        clips: how many clips of them.
        options: what kind.
        crop_px: side of the crops.
        out: the data set's folder.
    """

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
    """Renders, finds faces and cuts crops; one a process."""

    def __init__(self, kit: FaceKit, options: ClipOptions) -> None:
        self._renderer = Renderer(kit, options.size_px)
        self._mesher = FaceMesher(1, options.spacing_s > STILLS_FROM_S)

    def make(self, task: Task) -> list[dict[str, Any]]:
        """Write the crops of a person; returns a row a frame, and keeps them in `task.record`.

        Raises:
            DataError: something cannot be written.
        """
        person = Person.draw(self._renderer.kit, task.seed)
        rows = []
        for number in range(task.clips):
            clip = render_clip(self._renderer, person, number, task.options)
            self._mesher.reset()
            rows += self._cut(task, number, clip)
        write_whole(task.record, json.dumps(rows).encode())
        return rows

    def _cut(self, task: Task, number: int, clip: SyntheticClip) -> list[dict[str, Any]]:
        step = STILL_STEP if task.options.spacing_s > STILLS_FROM_S else 1
        rows = []
        for index, frame in enumerate(clip.frames):
            faces = self._mesher.find(frame)
            path = f"{task.name}/{number}/{index * step}.jpg"
            if faces:
                crop = align(frame, faces[0].landmarks_px, size_px=task.crop_px)
                coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
                write_whole(task.out / "img" / path, coded.tobytes())
            rows.append(
                {
                    "path": path,
                    "found": bool(faces),
                    "labels": clip.labels[index].tolist(),
                    "intensities": np.round(clip.intensities[index], 3).tolist(),
                    "yaw_deg": round(float(np.rad2deg(clip.poses_rad[index, 0])), 1),
                    "clip": {"number": number, **clip.facts},
                }
            )
        return rows


def read_record(task: Task) -> list[dict[str, Any]] | None:
    """What an earlier run made of a task; None if it is not done.

    Raises:
        DataError: the record is damaged.
    """
    if not task.record.is_file():
        return None
    try:
        rows = json.loads(task.record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{task.record}' is damaged ({error}); remove it and run again") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "labels" in row for row in rows):
        raise DataError(f"'{task.record}' is damaged (expected a list of frames); remove it and run again")
    return rows


def settings_text(kit_sha256: str, options: ClipOptions, **more: Any) -> str:
    """What all persons of a folder must share, as JSON."""
    return json.dumps({"facekit_sha256": kit_sha256, **asdict(options), **more}, indent=2) + "\n"
