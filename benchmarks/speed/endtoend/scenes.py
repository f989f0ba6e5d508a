"""The videos: the bundled clip's face, once or four times, in small and in large pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mdhr_sdk.outputs.pictures.encoder import Encoder

DEMO = Path(__file__).resolve().parents[3] / "mdhr_sdk" / "assets" / "demo.mp4"
FPS = 25
LEAST_FRAMES = 40
APART = 70  # frames of the clip from one face to the next, so that they do not move alike


@dataclass(frozen=True)
class Scene:
    """A video: how many faces, width and height in pixels, and how many frames."""

    faces: int
    width: int
    height: int
    frames: int

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.faces} face{'s' * (self.faces > 1)}, {self.width}x{self.height}"


def scenes(frames: int) -> list[Scene]:
    """All that are measured; those that take long have fewer frames."""
    fewer = max(LEAST_FRAMES, frames // 4)
    return [
        Scene(1, 640, 360, frames), Scene(4, 640, 360, fewer), Scene(1, 1920, 1080, fewer), Scene(4, 1920, 1080, fewer),
    ]  # fmt: skip


def write_scene(scene: Scene, path: Path) -> None:
    """Encode a scene as H.264 mp4."""
    encoder = Encoder(path, (scene.width, scene.height), FPS, "h264")
    for index, picture in enumerate(pictures(scene)):
        encoder.write(picture, index / FPS)
    encoder.close()


def pictures(scene: Scene) -> Iterator[NDArray[np.uint8]]:
    """The frames of a scene, BGR."""
    with av.open(str(DEMO)) as container:
        clip = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]
    for index in range(scene.frames):
        yield _picture(scene, clip, index)


def _picture(scene: Scene, clip: list[NDArray[np.uint8]], index: int) -> NDArray[np.uint8]:
    """The faces side by side, as high as they fit, on one of them blurred."""
    size = (scene.width, scene.height)
    picture = cv2.GaussianBlur(cv2.resize(clip[index % len(clip)], size), (0, 0), scene.height / 18)
    side = min(scene.height, scene.width // scene.faces)
    top, step = (scene.height - side) // 2, scene.width // scene.faces
    for face in range(scene.faces):
        left = face * step + (step - side) // 2
        shown = clip[(index + APART * face) % len(clip)]
        picture[top : top + side, left : left + side] = cv2.resize(shown, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)
