"""Do decisions stay when faces are found with MediaPipe's plain mesh in place of its refined one?

    python -m benchmarks.accuracy.meshes edge VIDEO ... [--frames 300]

Each video is read twice, with and without the refinement of eyes and lips. Prints the share of decisions that agree,
of all AUs and of those that differ most, and how far scores are apart. Frames count in which both find one face.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import typer
from numpy.typing import NDArray

from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.vision.faces import mesher
from mdhr_sdk.vision.faces.engine import EngineChoice
from mdhr_sdk.vision.faces.mediapipe.package import import_mediapipe
from mdhr_sdk.vision.faces.mediapipe.solutions import SolutionsEngine

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@contextmanager
def refined(refine: bool) -> Iterator[None]:
    """Meshers that are made here have the refinement, or lack it."""
    solutions: Any = import_mediapipe().solutions

    class Mesh(solutions.face_mesh.FaceMesh):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "refine_landmarks": refine})

    ours = SimpleNamespace(face_mesh=SimpleNamespace(FaceMesh=Mesh), face_detection=solutions.face_detection)

    def opened(choice: EngineChoice, max_faces: int, still: bool) -> SolutionsEngine:
        return SolutionsEngine(ours, max_faces, still)

    with patch.object(mesher, "open_engine", opened):
        yield


def read(model: str, video: Path, frames: int, refine: bool) -> dict[int, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Frame -> scores and decisions of its face, of frames with one."""
    with refined(refine), AUDetector.from_pretrained(model, faces="solutions", max_faces=1) as detector:
        found = {}
        for frame in itertools.islice(detector.predict(video, stream=True), frames):
            if len(frame.faces) == 1:
                aus = frame.faces[0].aus.values()
                found[frame.index] = np.array([au.probability for au in aus]), np.array([au.occurrence for au in aus])
        return found


@app.command()
def main(
    model: str,
    videos: list[Path],
    frames: Annotated[int, typer.Option(help="Most frames of each video.")] = 300,
) -> None:
    """Whether decisions stay with the plain mesh."""
    with AUDetector.from_pretrained(model) as detector:
        codes = detector.codes
    same: list[NDArray[np.bool_]] = []
    for video in videos:
        fine, plain = (read(model, video, frames, refine) for refine in (True, False))
        both = sorted(set(fine) & set(plain))
        apart = np.abs(np.stack([fine[i][0] - plain[i][0] for i in both]))
        agree = np.stack([fine[i][1] == plain[i][1] for i in both])
        same.append(agree)
        worst = np.argsort(agree.mean(axis=0), kind="stable")[:3]
        told = ", ".join(f"{codes[au]} {100 * agree[:, au].mean():.1f}" for au in worst)
        print(
            f"{video.name}: {100 * agree.mean():.2f} % of {agree.size} decisions agree; scores differ by "
            f"{apart.mean():.3f} on average, {apart.max():.2f} at most; least: {told}"
        )
    print(f"all: {100 * np.concatenate(same).mean():.2f} % of decisions agree")


if __name__ == "__main__":
    run_app(app)
