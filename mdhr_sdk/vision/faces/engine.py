"""Find faces and their meshes in a frame, with MediaPipe."""

from __future__ import annotations

import importlib
import os
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, InputError, MissingDependencyError, import_cv2, missing_library
from ..boxes import Box, area, box_around
from ..quiet import quiet
from ..sources.source import Image, check_image
from .later import imported_later

if TYPE_CHECKING:
    from .landmarker import LandmarkerEngine
    from .solutions import SolutionsEngine


LONGEST_PX = 32_766  # MediaPipe ends the process at a side of more than 32,767

_first_process: list[int] = []  # in which face models were made first; forks inherit it


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


def check_max_faces(max_faces: object) -> int:
    """`max_faces`, if it is an integer of at least 1, or ConfigError."""
    if not isinstance(max_faces, int) or isinstance(max_faces, bool) or max_faces < 1:
        raise ConfigError(f"max_faces must be an integer of at least 1; got {max_faces!r}")
    return max_faces


class FaceMesher:
    """Finds the faces of a frame and their meshes.

    Works on one source at a time: in videos it follows faces from frame to frame, so call `reset()` between sources.
    MediaPipe prints while it starts; that is kept off the terminal, and with it whatever else the process writes to
    its error stream while a mesher is made or reset. `find()` leaves the error stream alone.

    Small faces of large pictures are looked for in tiles: of stills always (up to 3 s for a picture of 8 megapixels or
    more), of videos from 960 pixels on (a tenth of a second at the start of a scene, then one tile at each search).

    Args:
        max_faces: most faces of one frame, at least 1. Of a still the largest are kept; a video keeps those it follows.
        still: True for unrelated images, False for the frames of a video.
        model_file: a MediaPipe `face_landmarker.task`, read through its Tasks API. None for the models in MediaPipe's
            wheel (0.10.14 to 0.10.21), which also find small faces.

    Raises:
        ConfigError: max_faces below 1.
        SourceError: model_file cannot be read or is no such model.
        MissingDependencyError: MediaPipe is not installed, or has no models in its wheel and model_file is None.
    """

    def __init__(self, max_faces: int = 10, still: bool = False, model_file: str | Path | None = None) -> None:
        self._engine = _open_engine(check_max_faces(max_faces), still, model_file)
        self._max_faces = max_faces
        self._seen = 0
        self._turn = threading.RLock()  # a signal's handler may close what its own thread uses
        # Also at the end of the process: no other thread may be inside of a graph then. Read-ahead registers its exit
        # handler after this one, so it stops first.
        self._process = os.getpid()
        self._end = weakref.finalize(self, _close, self._engine, self._turn, self._process)

    @property
    def seen(self) -> int:
        """How many faces the last frame has, with those beyond `max_faces`.

        Exact for stills. In a video, faces beyond the limit are counted now and then, so there may be more.
        """
        return self._seen

    def __enter__(self) -> FaceMesher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, image_bgr: Image) -> list[Face]:
        """Return the faces from left to right; the same frames give the same faces.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.

        Raises:
            InputError: not such an image, the mesher is closed, or this process was forked after the mesher was made.
        """
        cv2 = import_cv2()
        image_bgr = check_image(image_bgr)
        height, width = image_bgr.shape[:2]
        shrunk = max(1.0, max(height, width) / LONGEST_PX)
        if shrunk > 1:
            size = max(1, int(width / shrunk)), max(1, int(height / shrunk))
            image_bgr = np.asarray(cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
        rgb = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)
        with self._open() as engine:
            meshes, self._seen = engine.find(rgb.astype(np.uint8, copy=False))
        if shrunk > 1:
            meshes = [mesh * np.float32(shrunk) for mesh in meshes]
        largest = sorted(map(Face, meshes), key=lambda face: (-area(face.box_px), face.box_px))[: self._max_faces]
        return sorted(largest, key=lambda face: face.box_px)

    def reset(self) -> None:
        """Forget the faces followed so far, as for a new source or after a cut."""
        with self._open() as engine:
            engine.reset()

    def close(self) -> None:
        """Free the models, once a frame that another thread is at is done; may be called twice."""
        self._end()

    @contextmanager
    def _open(self) -> Iterator[SolutionsEngine | LandmarkerEngine]:
        _check_process(self._process)  # before the lock, which another thread may have held when the process was forked
        with self._turn:
            if not self._end.alive:
                raise InputError("this FaceMesher is closed; make a new one")
            yield self._engine


def _close(engine: SolutionsEngine | LandmarkerEngine, turn: threading.RLock, process: int) -> None:
    if os.getpid() == process:  # a forked process has no part in the threads of these models
        with turn:
            engine.close()


def _check_process(process: int) -> None:
    """MediaPipe's threads are not copied by a fork: what waits for them would hang or abort."""
    if os.getpid() != process:
        raise InputError(
            "expected a process of its own for face models; this one was forked from a process that had used them; "
            "start workers by multiprocessing.get_context('spawn'), or find faces in the workers only"
        )


def _open_engine(max_faces: int, still: bool, model_file: str | Path | None) -> SolutionsEngine | LandmarkerEngine:
    from .landmarker import LandmarkerEngine
    from .solutions import SolutionsEngine

    if _first_process:
        _check_process(_first_process[0])
    mediapipe = import_mediapipe()
    _first_process[:] = [os.getpid()]
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
    # Protobuf 4 says at every face what is wrong with older versions of MediaPipe. Only this sentence of this package
    # is ignored; the caller's other filters stay.
    warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype", module=r"google\.protobuf\.")
    try:
        with quiet, imported_later("matplotlib", "pyplot"):  # for drawings in 3D: a third of a second
            mediapipe = importlib.import_module("mediapipe")
    except ModuleNotFoundError as error:
        if error.name != "mediapipe":
            raise
        raise MissingDependencyError(
            "finding faces needs mediapipe, which is not installed; run: pip install 'mediapipe>=0.10.14,<0.10.30'"
        ) from None
    except ImportError as error:
        raise missing_library("mediapipe", error) from None
    return mediapipe
