"""What an engine that finds faces must do, and which one is taken."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, MissingDependencyError, SourceError
from ..boxes import Box, box_around
from .fetch import FACE_LANDMARKER, cached, fetch

EngineName = Literal["auto", "solutions", "tasks", "onnx"]
INSTALL_SOLUTIONS = "pip install 'mediapipe>=0.10.14,<0.10.30'"  # Python 3.10 to 3.12
log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a frame.

    Attributes:
        landmarks_px: (478, 3) float32, MediaPipe's mesh with irises; x and y in pixels of the frame from its upper
            left corner, z on the scale of x, smaller is nearer.
    """

    landmarks_px: NDArray[np.float32]

    @cached_property  # asked for several times a frame
    def box_px(self) -> Box:
        """x0, y0, x1, y1 around the landmarks, in pixels; may reach beyond the frame."""
        return box_around(self.landmarks_px)


class FaceEngine(Protocol):
    """Finds the faces of one source's frames, in one thread at a time. `FaceMesher` keeps the rules around it."""

    def find(self, rgb: NDArray[np.uint8]) -> tuple[list[NDArray[np.float32]], int]:
        """Meshes (478, 3) of the faces in an (H, W, 3) RGB image, in its pixels, and how many faces were seen.

        A still gives all its faces, a video at most `max_faces`.
        """

    def reset(self) -> None:
        """Forget the faces followed so far."""

    def close(self) -> None:
        """Free the models."""


@dataclass(frozen=True)
class EngineChoice:
    """Which engine finds the faces.

    Attributes:
        name: 'solutions', 'tasks' or 'onnx'.
        why: why it was taken, and with which models.
        model_file: the task file that was given; None for the models in the wheel, or the cache's task file.
    """

    name: str
    why: str
    model_file: Path | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def check_engine(faces: str, model_file: str | Path | None = None) -> None:
    """Refuse an unknown engine, and a task file for one that does not read it.

    Raises:
        ConfigError: as said.
    """
    if faces not in get_args(EngineName):
        raise ConfigError(f"faces must be one of {', '.join(get_args(EngineName))}; got {faces!r}")
    if model_file is not None and faces not in ("auto", "tasks"):
        raise ConfigError(
            f"a face model file is read by faces='tasks'; got it with faces={faces!r}; leave one of them out"
        )


def choose_engine(faces: str = "auto", model_file: str | Path | None = None) -> EngineChoice:
    """The engine of that name, or the one that 'auto' takes: the models in MediaPipe's wheel if it has any.

    Nothing is loaded or fetched for that.

    Args:
        faces: 'auto', 'solutions', 'tasks' or 'onnx'. 'auto' takes 'onnx' only where MediaPipe is not installed.
        model_file: a `face_landmarker.task`, which 'tasks' reads.

    Raises:
        ConfigError: as `check_engine`.
        MissingDependencyError: MediaPipe is not installed, or its wheel lacks the models that 'solutions' needs.
        SourceError: 'onnx' has no graphs that may be used.
    """
    check_engine(faces, model_file)
    if faces == "onnx":
        return _onnx()
    try:
        version, in_wheel = installed_mediapipe()
    except MissingDependencyError as error:
        if faces != "auto" or model_file is not None:
            raise
        return _without_mediapipe(error)
    named = f"MediaPipe {version}".strip()
    if model_file is not None:
        return EngineChoice("tasks", f"{named} reads '{model_file}'", Path(model_file))
    if faces == "solutions" and not in_wheel:
        raise MissingDependencyError(
            f"faces='solutions' needs the face models in the wheel of MediaPipe 0.10.14 to 0.10.21, and {named} has "
            f"none; take faces='tasks', or on Python 3.10 to 3.12 run: {INSTALL_SOLUTIONS}"
        )
    if faces == "tasks" or not in_wheel:
        where = "in the cache" if cached(FACE_LANDMARKER) else "fetched at the first use"
        bare = "" if in_wheel else ", which has no face models in its wheel,"
        return EngineChoice("tasks", f"{named}{bare} reads {FACE_LANDMARKER.name}, {where}")
    return EngineChoice("solutions", f"{named} has face models in its wheel")


def _onnx(why: str = "") -> EngineChoice:
    from .onnx.record import usable_record
    from .onnx.session import runtime_name

    return EngineChoice("onnx", f"{why}{runtime_name()} runs graphs {usable_record()}")


def _without_mediapipe(missing: MissingDependencyError) -> EngineChoice:
    """What 'auto' takes then: graphs that lie in the cache."""
    from .onnx.record import graphs_folder

    folder = graphs_folder()
    try:
        return _onnx("MediaPipe is not installed, and ")
    except SourceError as error:
        now = f" ({error})" if folder.exists() else ""
        raise MissingDependencyError(
            f"{missing}; or run mdhr faces export where MediaPipe is, and copy its folder to '{folder}'{now}"
        ) from None


def installed_mediapipe() -> tuple[str, bool]:
    """MediaPipe's version, '' if that is not known, and whether face models are in its wheel; it is not loaded.

    Raises:
        MissingDependencyError: it is not installed.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "finding faces needs mediapipe, which is not installed; run: pip install mediapipe"
        )
    model = Path(spec.origin).parent / "modules" / "face_landmark" / "face_landmark_with_attention.tflite"
    try:
        return metadata.version("mediapipe"), model.is_file()
    except metadata.PackageNotFoundError:
        return "", model.is_file()


def open_engine(choice: EngineChoice, max_faces: int, still: bool) -> FaceEngine:
    """Load the engine's models; a task file that was neither given nor fetched before is fetched.

    Raises:
        SourceError: a model cannot be read, or is none.
        FetchError: the task file cannot be fetched.
        MissingDependencyError: MediaPipe cannot be loaded.
    """
    if choice.name == "onnx":
        from .onnx.engine import OnnxEngine
        from .onnx.record import usable_graphs

        graphs = usable_graphs()
        return OnnxEngine(graphs.contents, graphs.record.size_px, max_faces, still)
    from .mediapipe.package import import_mediapipe

    if choice.name == "solutions":
        from .mediapipe.solutions import SolutionsEngine

        return SolutionsEngine(import_mediapipe().solutions, max_faces, still)
    from .mediapipe.tasks import TasksEngine

    model_file = choice.model_file or fetch(FACE_LANDMARKER)
    return TasksEngine(import_mediapipe(), model_file, max_faces, still)
