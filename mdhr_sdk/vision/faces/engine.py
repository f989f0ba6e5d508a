"""Find faces and their meshes in a frame, with MediaPipe."""

from __future__ import annotations

import importlib
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, InputError, MissingDependencyError
from ..boxes import Box, box_around
from ..quiet import quiet
from ..sources.source import Image, check_image

if TYPE_CHECKING:
    from .landmarker import LandmarkerEngine
    from .solutions import SolutionsEngine


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a frame.

    Attributes:
        landmarks_px: (478, 3) float32, MediaPipe's mesh with irises; x and y in pixels of the frame from its upper
            left corner, z on the scale of x, smaller is nearer.
    """

    landmarks_px: NDArray[np.float32]

    @property
    def box_px(self) -> Box:
        """x0, y0, x1, y1 around the landmarks, in pixels; may reach beyond the frame."""
        return box_around(self.landmarks_px)


class FaceMesher:
    """Finds the faces of a frame and their meshes.

    Works on one source at a time: in videos it follows faces from frame to frame, so call `reset()` between sources.
    MediaPipe prints while it starts; that is kept off the terminal, and with it whatever else the process writes to
    its error stream while a mesher is made or reset. `find()` leaves the error stream alone.

    Args:
        max_faces: most faces of one frame, at least 1.
        still: True for unrelated images, False for the frames of a video.
        model_file: a MediaPipe `face_landmarker.task`, read through its Tasks API. None for the models in MediaPipe's
            wheel (0.10.14 to 0.10.21), which also find small faces.

    Raises:
        ConfigError: max_faces below 1.
        SourceError: model_file cannot be read or is no such model.
        MissingDependencyError: MediaPipe is not installed, or has no models in its wheel and model_file is None.
    """

    def __init__(self, max_faces: int = 10, still: bool = False, model_file: str | Path | None = None) -> None:
        if not isinstance(max_faces, int) or isinstance(max_faces, bool) or max_faces < 1:
            raise ConfigError(f"max_faces must be an integer of at least 1; got {max_faces!r}")
        self._engine = _open_engine(max_faces, still, model_file)
        self._turn = threading.RLock()  # a signal's handler may close what its own thread uses
        # Also at the end of the process, whose other threads must not be inside of a graph then. What reads ahead says
        # at its start, and so later than this, that it is to be ended there, and so sooner.
        self._end = weakref.finalize(self, _close, self._engine, self._turn)

    def __enter__(self) -> FaceMesher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, image_bgr: Image) -> list[Face]:
        """Return the faces from left to right; the same frames give the same faces.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.

        Raises:
            InputError: not such an image, or the mesher is closed.
        """
        import cv2

        rgb = cv2.cvtColor(check_image(image_bgr), cv2.COLOR_BGR2RGB)
        with self._open() as engine:
            meshes = engine.find(rgb.astype(np.uint8, copy=False))
        return sorted(map(Face, meshes), key=lambda face: face.box_px)

    def reset(self) -> None:
        """Forget the faces followed so far, as for a new source or after a cut."""
        with self._open() as engine:
            engine.reset()

    def close(self) -> None:
        """Free the models, once a frame that another thread is at is done; may be called twice."""
        self._end()

    @contextmanager
    def _open(self) -> Iterator[SolutionsEngine | LandmarkerEngine]:
        with self._turn:
            if not self._end.alive:
                raise InputError("this FaceMesher is closed; make a new one")
            yield self._engine


def _close(engine: SolutionsEngine | LandmarkerEngine, turn: threading.RLock) -> None:
    with turn:
        engine.close()


def _open_engine(max_faces: int, still: bool, model_file: str | Path | None) -> SolutionsEngine | LandmarkerEngine:
    from .landmarker import LandmarkerEngine
    from .solutions import SolutionsEngine

    mediapipe = import_mediapipe()
    if model_file is not None:
        return LandmarkerEngine(mediapipe, Path(model_file), max_faces, still)
    if not hasattr(mediapipe, "solutions"):
        version = getattr(mediapipe, "__version__", "unknown")
        raise MissingDependencyError(
            f"mediapipe {version} brings no face models; give model_file='face_landmarker.task', or run: "
            "pip install 'mediapipe>=0.10.14,<0.10.30'"
        )
    return SolutionsEngine(mediapipe.solutions, max_faces, still)


def import_mediapipe() -> Any:
    """Import MediaPipe without its chatter.

    Raises:
        MissingDependencyError: it is not installed.
    """
    # Protobuf 4 says at the first face what is wrong with older versions of MediaPipe.
    warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype", module=r"google\.protobuf\.")
    try:
        with quiet:
            return importlib.import_module("mediapipe")
    except ModuleNotFoundError as error:
        if error.name != "mediapipe":
            raise
        raise MissingDependencyError(
            "finding faces needs mediapipe, which is not installed; run: pip install 'mediapipe>=0.10.14,<0.10.30'"
        ) from None
