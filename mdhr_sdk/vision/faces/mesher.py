"""Find faces and their meshes in a frame, whichever engine does it."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import ConfigError, InputError, import_cv2
from ..boxes import area
from ..sources.source import Image, check_image
from .engine import EngineChoice, Face, FaceEngine, choose_engine, open_engine

LONGEST_PX = 32_766  # MediaPipe ends the process at a side of more than 32,767
MOST_FACES = 1000  # of a frame; MediaPipe takes no count beyond 32 bits

_first_process: list[int] = []  # in which face models were made first; forks inherit it
log = logging.getLogger("mdhr_sdk")


def check_max_faces(max_faces: object) -> int:
    """`max_faces`, if it is an integer from 1 to `MOST_FACES`, or ConfigError."""
    if not isinstance(max_faces, int) or isinstance(max_faces, bool) or max_faces < 1:
        raise ConfigError(f"max_faces must be an integer of at least 1; got {max_faces!r}")
    if max_faces > MOST_FACES:
        raise ConfigError(f"max_faces must be at most {MOST_FACES:,}; got {max_faces:,}")
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
        model_file: a MediaPipe `face_landmarker.task`, which the engine 'tasks' reads; None for its own models.
        faces: which engine finds them. 'solutions': the models in MediaPipe's wheel (0.10.14 to 0.10.21). 'tasks':
            `face_landmarker.task`, from the cache or fetched once, by any MediaPipe from 0.10.14 on. 'onnx': the graphs
            that `mdhr faces export` made. 'auto': solutions where the wheel has models, else tasks; onnx only where
            MediaPipe is not installed.

    Attributes:
        choice: which engine was taken, and why.

    Raises:
        ConfigError: max_faces below 1, an unknown engine, or a model_file for one that reads none.
        SourceError: model_file cannot be read or is no such model, or 'onnx' has no graphs that may be used.
        FetchError: the engine's models are to be fetched, and cannot.
        MissingDependencyError: MediaPipe is not installed, or has no models in its wheel and faces is 'solutions'.
    """

    def __init__(
        self, max_faces: int = 10, still: bool = False, model_file: str | Path | None = None, faces: str = "auto"
    ) -> None:
        self._max_faces = check_max_faces(max_faces)
        self.choice: EngineChoice = choose_engine(faces, model_file)
        if _first_process:
            _check_process(_first_process[0])
        log.info("faces by %s", self.choice)
        _first_process[:] = [os.getpid()]
        self._engine = open_engine(self.choice, max_faces, still)
        self._seen = 0
        self._turn = threading.RLock()  # a signal's handler may close what its own thread uses
        # Also at the end of the process: no other thread may be inside of a graph then. What reads ahead
        # is closed before (ending.py).
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
        with self._open() as engine:  # OpenCV's work too: a thread in it at the end of the process would abort that
            if shrunk > 1:
                size = max(1, int(width / shrunk)), max(1, int(height / shrunk))
                image_bgr = np.asarray(cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
            rgb = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)
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
    def _open(self) -> Iterator[FaceEngine]:
        _check_process(self._process)  # before the lock, which another thread may have held when the process was forked
        with self._turn:
            if not self._end.alive:
                raise InputError("this FaceMesher is closed; make a new one")
            yield self._engine


def _close(engine: FaceEngine, turn: threading.RLock, process: int) -> None:
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
