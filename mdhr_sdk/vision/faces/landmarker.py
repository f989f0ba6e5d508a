"""Face meshes from a `face_landmarker.task` file, through MediaPipe's Tasks API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SourceError
from ..quiet import quiet

FRAME_STEP_MS = 33  # the tracker wants rising times; like MediaPipe's own video mode, assume 30 frames a second

_BLANK = np.zeros((64, 64, 3), np.uint8)


class LandmarkerEngine:
    """Wraps `FaceLandmarker` in image mode for stills and in video mode for the rest."""

    def __init__(self, mediapipe: Any, model_file: Path, max_faces: int, still: bool) -> None:
        self._mediapipe = mediapipe
        self._model_file = model_file
        self._still = still
        tasks = mediapipe.tasks
        mode = tasks.vision.RunningMode.IMAGE if still else tasks.vision.RunningMode.VIDEO
        # The content and not the path, because MediaPipe cannot open every non-ASCII path on Windows.
        base = tasks.BaseOptions(model_asset_buffer=_content(model_file))
        self._options = tasks.vision.FaceLandmarkerOptions(base_options=base, running_mode=mode, num_faces=max_faces)
        self._start()

    def find(self, rgb: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Meshes (478, 3) of the faces in an (H, W, 3) RGB image, in its pixels."""
        self._used = True
        faces = self._detect(rgb).face_landmarks
        height, width = rgb.shape[:2]
        scale = np.array([width, height, width], np.float32)
        return [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in faces]

    def reset(self) -> None:
        if self._used and not self._still:  # video mode keeps its tracks for life: only a new landmarker forgets them
            self.close()
            self._start()

    def close(self) -> None:
        self._landmarker.close()

    def _start(self) -> None:
        self._clock_ms = 0
        self._used = False
        try:
            with quiet:
                self._landmarker = self._mediapipe.tasks.vision.FaceLandmarker.create_from_options(self._options)
                self._detect(_BLANK)  # the landmarker starts in the background; an answer means that it has
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise SourceError(
                f"expected a MediaPipe face landmarker in {self._model_file}; MediaPipe says: {reason}; "
                "download face_landmarker.task again"
            ) from None

    def _detect(self, rgb: NDArray[np.uint8]) -> Any:
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=rgb)
        if self._still:
            return self._landmarker.detect(image)
        self._clock_ms += FRAME_STEP_MS
        return self._landmarker.detect_for_video(image, self._clock_ms)


def _content(model_file: Path) -> bytes:
    try:
        return model_file.read_bytes()
    except OSError as error:
        raise SourceError(
            f"cannot read model file {model_file}: {error.strerror or error}; give the path of a face_landmarker.task"
        ) from None
