"""Stand for `FaceMesher`, which finds no face in a toy head: they hear from the renderer where the face is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from mdhr_sdk.synthetic import labelled, making
from mdhr_sdk.vision.faces.engine import Face

PAIRS = {33: 36, 133: 39, 362: 42, 263: 45, 2: 33}  # of the mesh and of the 68: the subject's right eye, left eye, nose


class ToyMesher:
    """Finds the face in every frame but the first of each clip. In one process there is one at a time."""

    def __init__(self, *_: object) -> None:
        self.frames = 0
        making.render_clip = self._render

    def _render(self, *words: Any) -> labelled.SyntheticClip:
        clip = labelled.render_clip(*words)
        self._marks = clip.landmarks_px
        return clip

    def reset(self) -> None:
        self.frames = 0

    def find(self, image: np.ndarray) -> list[Face]:
        self.frames += 1
        mesh = np.full((478, 3), 32.0, np.float32)
        mesh[list(PAIRS), :2] = self._marks[self.frames - 1, list(PAIRS.values())]
        return [Face(mesh)] if self.frames > 1 else []

    def close(self) -> None:
        pass


class SlowToyMesher(ToyMesher):
    """Slow enough to be interrupted; says which process it lives in."""

    def __init__(self) -> None:
        super().__init__()
        (Path(os.environ["PIDS"]) / f"worker.{os.getpid()}").touch()

    def find(self, image: np.ndarray) -> list[Face]:
        time.sleep(0.5)
        return super().find(image)
