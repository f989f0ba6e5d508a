"""Small media made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import mdhr_sdk


@pytest.fixture(scope="session")
def demo() -> Path:
    """320 x 320, 25 fps, 310 frames, one face throughout."""
    return Path(mdhr_sdk.__path__[0]) / "assets" / "demo.mp4"


@pytest.fixture(scope="session")
def demo_frames(demo: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(demo))
    frames = [capture.read()[1] for _ in range(40)]
    capture.release()
    return frames


def level(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A grey picture whose brightness tells its index, with texture so that it does not compress to nothing."""
    noise = np.random.default_rng(index).integers(0, 20, (size[1], size[0], 3), dtype=np.uint8)
    return noise + np.uint8(index % 24 * 10)


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "clip.avi", frames: int = 30, fps: float = 30.0, fourcc: str = "MJPG") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, (64, 48))
        for index in range(frames):
            writer.write(level(index))
        writer.release()
        return path

    return make


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    def make(*names: str, folder: str = "images") -> Path:
        for index, name in enumerate(names):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imencode(path.suffix, level(index))[1].tofile(path)
        return tmp_path / folder

    return make
