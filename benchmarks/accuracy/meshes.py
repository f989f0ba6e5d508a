"""Do decisions stay when faces are found with MediaPipe's plain mesh in place of its refined one?

    python -m benchmarks.accuracy.meshes edge VIDEO ... [--frames 300] [--part crop]

Each video is read twice, with and without the refinement of eyes and lips. Prints the share of decisions that agree,
of all AUs and of those that differ most, and how far scores are apart. Frames count in which both find one face.
`--part` takes only the crop, or only the measures of the face, from the plain mesh, and the other from the refined one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal
from unittest.mock import patch

import numpy as np
import typer
from numpy.typing import NDArray

from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.vision.align import TEMPLATES
from mdhr_sdk.vision.faces import mesher
from mdhr_sdk.vision.faces.engine import EngineChoice, FaceEngine
from mdhr_sdk.vision.faces.mediapipe.package import import_mediapipe
from mdhr_sdk.vision.faces.mediapipe.solutions import SolutionsEngine

from .agreement import Agreement, Decided, decided

Part = Literal["refined", "all", "crop", "measures"]
Mesh = NDArray[np.float32]
app = typer.Typer(add_completion=False, rich_markup_mode=None)


class OfTwo:
    """Meshes of one engine, but for the points that fix the crop, which are another's. Both must find one face."""

    def __init__(self, meshes: FaceEngine, crops: FaceEngine, points: list[int]) -> None:
        self._meshes, self._crops, self._points = meshes, crops, points

    def find(self, rgb: NDArray[np.uint8]) -> tuple[list[Mesh], int]:
        meshes, crops = self._meshes.find(rgb)[0], self._crops.find(rgb)[0]
        if len(meshes) != 1 or len(crops) != 1:
            return [], 0
        mesh = meshes[0].copy()
        mesh[self._points] = crops[0][self._points]
        return [mesh], 1

    def reset(self) -> None:
        for engine in (self._meshes, self._crops):
            engine.reset()

    def close(self) -> None:
        for engine in (self._meshes, self._crops):
            engine.close()


def _engine(refine: bool, max_faces: int, still: bool) -> SolutionsEngine:
    """MediaPipe with the refinement, or without it."""
    solutions: Any = import_mediapipe().solutions

    class FaceMesh(solutions.face_mesh.FaceMesh):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "refine_landmarks": refine})

    ours = SimpleNamespace(face_mesh=SimpleNamespace(FaceMesh=FaceMesh), face_detection=solutions.face_detection)
    return SolutionsEngine(ours, max_faces, still)


@contextmanager
def meshed(plain: Part, points: list[int]) -> Iterator[None]:
    """In what is made here, so much comes from the plain mesh; `points` fix the crop."""

    def opened(choice: EngineChoice, max_faces: int, still: bool) -> FaceEngine:
        meshes, crops = plain not in ("all", "measures"), plain not in ("all", "crop")
        if meshes == crops:
            return _engine(meshes, max_faces, still)
        return OfTwo(_engine(meshes, max_faces, still), _engine(crops, max_faces, still), points)

    with patch.object(mesher, "open_engine", opened):
        yield


def read(model: str, video: Path, frames: int, plain: Part, points: list[int]) -> dict[int, Decided]:
    """Frame -> scores and decisions of its face."""
    with meshed(plain, points), AUDetector.from_pretrained(model, faces="solutions", max_faces=1) as detector:
        return decided(detector, video, frames)


@app.command()
def main(
    model: str,
    videos: list[Path],
    frames: Annotated[int, typer.Option(help="Most frames of each video.")] = 300,
    part: Annotated[str, typer.Option(help="What comes from the plain mesh: all, crop or measures.")] = "all",
) -> None:
    """Whether decisions stay with the plain mesh."""
    parts: dict[str, Part] = {"all": "all", "crop": "crop", "measures": "measures"}
    if part not in parts:
        raise typer.BadParameter(f"--part must be one of {', '.join(parts)}; got {part!r}")
    with AUDetector.from_pretrained(model) as detector:
        agreement = Agreement(detector.codes)
        points = list(TEMPLATES[detector.config.preprocessing.template].landmarks)
    for video in videos:
        print(agreement.add(video, *(read(model, video, frames, plain, points) for plain in ("refined", parts[part]))))
    print("\n".join(agreement.lines()))


if __name__ == "__main__":
    run_app(app)
