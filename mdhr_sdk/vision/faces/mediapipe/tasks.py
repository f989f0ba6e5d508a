"""Face meshes from a `face_landmarker.task` file, through MediaPipe's Tasks API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import SourceError, missing_library
from ...boxes import area, box_around
from ...quiet import quiet
from ..small import Mesh, SmallFaces

FRAME_STEP_MS = 33  # the tracker wants rising times; like MediaPipe's own video mode, assume 30 frames a second
SEARCH_PERIOD = 10  # frames between two searches of a video for what the landmarker itself does not find
COUNTED = 64  # most faces that are counted in a still or a tile

_BLANK = np.zeros((64, 64, 3), np.uint8)


class TasksEngine:
    """Wraps `FaceLandmarker` in image mode for stills and in video mode for the rest.

    Its detector is for near faces. What it misses in large pictures is found in tiles, by a landmarker in image mode.
    """

    def __init__(self, mediapipe: Any, model_file: Path, max_faces: int, still: bool) -> None:
        self._mediapipe = mediapipe
        self._model_file = model_file
        self._still = still
        self._max_faces = max_faces
        # The content and not the path, because MediaPipe cannot open every non-ASCII path on Windows.
        self._content = _content(model_file)
        self._small = SmallFaces(
            lambda part: [box_around(mesh) for mesh in self._look(part)],
            lambda part: self._look(part)[:1],
            max_faces,
            still,
        )
        self._begin()
        self._parts = self._main if still else self._open(True, COUNTED)

    def find(self, rgb: NDArray[np.uint8]) -> tuple[list[Mesh], int]:
        """As `FaceEngine`."""
        self._clock_ms += FRAME_STEP_MS
        meshes = self._ask(self._main, self._still, rgb)
        searches = self._still or self._frames % SEARCH_PERIOD == 0
        counts = not self._still and len(meshes) >= self._max_faces and self._frames % (2 * SEARCH_PERIOD) == 0
        boxes = [box_around(mesh) for mesh in self._look(rgb)] if counts else []
        tiled = self._small.in_tiles(rgb, [box_around(mesh) for mesh in meshes]) if searches else []
        self._frames += 1
        return self._small.complete(rgb, meshes, boxes, tiled, searches)

    def reset(self) -> None:
        if self._frames and not self._still:  # video mode keeps its tracks for life: only a new landmarker forgets them
            self._main.close()
            self._begin()

    def close(self) -> None:
        self._main.close()
        if not self._still:
            self._parts.close()

    def _begin(self) -> None:
        self._clock_ms = FRAME_STEP_MS
        self._frames = 0  # since the last reset
        self._small.forget()
        self._main: Any = self._open(self._still, max(self._max_faces, COUNTED) if self._still else self._max_faces)

    def _look(self, part: NDArray[np.uint8]) -> list[Mesh]:
        """Meshes in a part of a frame, in its pixels, the largest face first."""
        return sorted(self._ask(self._parts, True, part), key=lambda mesh: area(box_around(mesh)), reverse=True)

    def _open(self, still: bool, num_faces: int) -> Any:
        vision, base = self._mediapipe.tasks.vision, self._mediapipe.tasks.BaseOptions
        mode = vision.RunningMode.IMAGE if still else vision.RunningMode.VIDEO
        options = vision.FaceLandmarkerOptions(
            base_options=base(model_asset_buffer=self._content), running_mode=mode, num_faces=num_faces
        )
        try:
            with quiet:
                landmarker = vision.FaceLandmarker.create_from_options(options)
                self._ask(landmarker, still, _BLANK)  # it starts in the background; an answer means that it has
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise SourceError(
                f"expected a MediaPipe face landmarker in {self._model_file}; MediaPipe says: {reason}; "
                "download face_landmarker.task again"
            ) from None
        except OSError as error:  # MediaPipe 1.x loads its library at the first use
            raise missing_library("MediaPipe", error) from None
        return landmarker

    def _ask(self, landmarker: Any, still: bool, rgb: NDArray[np.uint8]) -> list[Mesh]:
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=rgb)
        result = landmarker.detect(image) if still else landmarker.detect_for_video(image, self._clock_ms)
        height, width = rgb.shape[:2]
        scale = np.array([width, height, width], np.float32)
        return [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in result.face_landmarks]


def _content(model_file: Path) -> bytes:
    try:
        return model_file.read_bytes()
    except OSError as error:
        raise SourceError(
            f"cannot read model file {model_file}: {error.strerror or error}; give the path of a face_landmarker.task"
        ) from None
