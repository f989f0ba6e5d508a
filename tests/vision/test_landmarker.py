"""A `face_landmarker.task` of the caller's: the Tasks API on a stand-in, and the real one on real pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mdhr_sdk.errors import MissingDependencyError, SourceError
from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces import engine as faces


class FakeLandmarker:
    """Records calls as the Tasks API's FaceLandmarker would take them."""

    def __init__(self, options, log):
        self.options, self.log = options, log

    def detect(self, image):
        self.log.append(("detect", image.data.shape))
        return self._result()

    def detect_for_video(self, image, timestamp_ms):
        self.log.append(("video", timestamp_ms))
        return self._result()

    def _result(self):
        return SimpleNamespace(face_landmarks=[[SimpleNamespace(x=0.5, y=0.25, z=-0.1)] * 478])

    def close(self):
        self.log.append(("close",))


@pytest.fixture
def tasks(monkeypatch, tmp_path):
    """A MediaPipe without wheel models, as from 0.10.30 on; yields the log of calls and a model file."""
    log: list = []

    def create(options):
        if options.base_options.model_asset_buffer == b"junk":
            raise RuntimeError("Unable to open zip archive.\nmore")
        log.append(("create", options.running_mode, options.num_faces))
        return FakeLandmarker(options, log)

    vision = SimpleNamespace(
        RunningMode=SimpleNamespace(IMAGE="image", VIDEO="video"),
        FaceLandmarkerOptions=SimpleNamespace,
        FaceLandmarker=SimpleNamespace(create_from_options=create),
    )
    mediapipe = SimpleNamespace(
        __version__="0.10.31",
        tasks=SimpleNamespace(vision=vision, BaseOptions=SimpleNamespace),
        Image=lambda image_format, data: SimpleNamespace(data=data, image_format=image_format),
        ImageFormat=SimpleNamespace(SRGB="srgb"),
    )
    monkeypatch.setattr(faces, "import_mediapipe", lambda: mediapipe)
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"model")
    return log, model


def test_the_tasks_api_gets_rising_times_and_a_fresh_start_after_reset(tasks):
    log, model = tasks
    image = np.zeros((100, 200, 3), np.uint8)
    with FaceMesher(max_faces=3, model_file=model) as mesher:
        mesher.reset()
        (face,) = mesher.find(image)
        mesher.find(image)
        mesher.reset()
        mesher.find(image)
    start, parts = ["create", "video"], ["create", "detect"]  # the first picture is a blank one
    expected = [*start, *parts, "video", "video", "close", *start, "video", "close", "close"]
    assert [entry[0] for entry in log] == expected
    assert log[0] == ("create", "video", 3)
    assert 0 <= log[1][1] < log[4][1] < log[5][1]
    assert face.landmarks_px.shape == (478, 3)
    np.testing.assert_allclose(face.landmarks_px[0], [100, 25, -20])


def test_the_tasks_api_takes_stills_as_images(tasks):
    log, model = tasks
    with FaceMesher(still=True, model_file=str(model)) as mesher:
        mesher.find(np.zeros((100, 200, 3), np.uint8))
        mesher.reset()
    assert log == [("create", "image", 64), ("detect", (64, 64, 3)), ("detect", (100, 200, 3)), ("close",)]


def test_the_real_tasks_api_forgets_a_video_at_reset(task_file, demo_frames):
    with FaceMesher(max_faces=2, model_file=task_file) as mesher:
        runs = []
        for _ in range(2):
            mesher.reset()
            runs.append([mesher.find(image)[0].landmarks_px for image in demo_frames[:3]])
    np.testing.assert_array_equal(*runs)


def test_model_files_that_are_none_are_named(tasks, tmp_path):
    _, model = tasks
    with pytest.raises(SourceError, match=r"nowhere\.task"):
        FaceMesher(model_file=tmp_path / "nowhere.task")
    model.write_bytes(b"junk")
    with pytest.raises(SourceError, match=r"face_landmarker\.task; MediaPipe says: Unable") as caught:
        FaceMesher(model_file=model)
    assert "\n" not in str(caught.value)


def test_the_real_tasks_api_refuses_junk_in_one_quiet_line(tmp_path, capfd):
    (tmp_path / "junk.task").write_bytes(b"junk" * 100)
    with pytest.raises(SourceError, match=r"junk\.task") as caught:
        FaceMesher(model_file=tmp_path / "junk.task")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_mediapipe_without_models_asks_for_a_model_file(tasks):
    with pytest.raises(MissingDependencyError, match=r"0\.10\.31.*model_file.*<0\.10\.30"):
        FaceMesher()
