"""Small media made on the spot."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from made_videos import numbered
from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces.engine import installed_mediapipe
from mdhr_sdk.vision.faces.fetch import FACE_LANDMARKER, cached
from mdhr_sdk.vision.faces.onnx.export import export_graphs, find_networks


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
    """A model for the Tasks API, made of the wheel's models; without irises. Where it has none, MediaPipe's own."""
    import mediapipe

    if not installed_mediapipe()[1]:
        return official_task() or pytest.skip("there is no face_landmarker.task here")
    models = Path(mediapipe.__path__[0]) / "modules"
    path = tmp_path_factory.mktemp("task") / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(models / "face_detection" / "face_detection_short_range.tflite", "face_detector.tflite")
        archive.write(models / "face_landmark" / "face_landmark.tflite", "face_landmarks_detector.tflite")
    return path


def official_task() -> Path | None:
    """MediaPipe's own task file: that of MDHR_FACE_LANDMARKER, the cache's, or one beside the checkout."""
    beside = Path(__file__).parents[3] / "shared" / "face_landmarker" / FACE_LANDMARKER.name
    given = os.environ.get("MDHR_FACE_LANDMARKER")
    return next(
        (one for one in (Path(given) if given else None, cached(FACE_LANDMARKER), beside) if one and one.is_file()),
        None,
    )


@pytest.fixture(scope="session")
def converted_faces(tmp_path_factory: pytest.TempPathFactory, demo_frames: np.ndarray) -> Path | None:
    """A cache with graphs converted from what MediaPipe has here; None where it has nothing."""
    if not (installed_mediapipe()[1] or official_task()):
        return None
    networks = find_networks(None if installed_mediapipe()[1] else official_task())
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDHR_CACHE", str(cache))
        assert export_graphs(networks, [demo_frames[:30]]).passed
    return cache


@pytest.fixture
def engines(converted_faces: Path | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Every engine that can run here -> what `FaceMesher` is given for it."""
    found = {"solutions": {"faces": "solutions"}} if installed_mediapipe()[1] else {}
    if task := official_task():
        found["tasks"] = {"faces": "tasks", "model_file": str(task)}
    if converted_faces:
        monkeypatch.setenv("MDHR_CACHE", str(converted_faces))
        found["onnx"] = {"faces": "onnx"}
    return found


@pytest.fixture(params=("solutions", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tasks", "onnx"))))
def engine(request: pytest.FixtureRequest) -> dict[str, str]:
    """One of them."""
    if request.param == "solutions" and installed_mediapipe()[1]:
        return {"faces": "solutions"}  # without the others, whose graphs take three seconds to make
    engines = request.getfixturevalue("engines")
    if request.param not in engines:
        pytest.skip(f"{request.param} cannot run here: its MediaPipe or its task file is missing")
    return engines[request.param]


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
