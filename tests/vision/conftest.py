"""Small media made on the spot."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from made_videos import numbered
from mdhr_sdk.vision import FaceMesher


@pytest.fixture(scope="module")
def video_mesher() -> Iterator[FaceMesher]:
    with FaceMesher() as mesher:
        yield mesher


@pytest.fixture(scope="module")
def still_mesher() -> Iterator[FaceMesher]:
    with FaceMesher(still=True) as mesher:
        yield mesher


@pytest.fixture
def group(demo_frames: np.ndarray) -> np.ndarray:
    """Five small faces in a large picture, too far away for the whole-frame mesh."""
    image = np.full((720, 1280, 3), 90, np.uint8)
    for index, (x, y) in enumerate([(60, 80), (480, 60), (900, 100), (200, 440), (640, 420)]):
        image[y : y + 140, x : x + 140] = cv2.resize(demo_frames[index * 6], (140, 140), interpolation=cv2.INTER_AREA)
    return image


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for the Tasks API, made of the wheel's models; without irises."""
    import mediapipe

    models = Path(mediapipe.__path__[0]) / "modules"
    path = tmp_path_factory.mktemp("task") / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(models / "face_detection" / "face_detection_short_range.tflite", "face_detector.tflite")
        archive.write(models / "face_landmark" / "face_landmark.tflite", "face_landmarks_detector.tflite")
    return path


@pytest.fixture
def face_file(demo_frames: np.ndarray, tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "face.png"), demo_frames[0])
    return tmp_path / "face.png"


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    def make(*names: str, folder: str = "images") -> Path:
        for index, name in enumerate(names):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imencode(path.suffix, numbered(index))[1].tofile(path)
        return tmp_path / folder

    return make
