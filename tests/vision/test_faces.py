"""Faces and meshes: the wheel's models on real pixels, the Tasks API on a stand-in."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mdhr_sdk.errors import ConfigError, InputError, MissingDependencyError, SourceError
from mdhr_sdk.vision import Face, FaceMesher, Tracker, faces, iou, solutions
from mdhr_sdk.vision.quiet import quiet


@pytest.fixture(scope="module")
def video_mesher():
    with FaceMesher() as mesher:
        yield mesher


@pytest.fixture(scope="module")
def still_mesher():
    with FaceMesher(still=True) as mesher:
        yield mesher


@pytest.fixture
def group(demo_frames) -> np.ndarray:
    """Five small faces in a large picture, too far away for the whole-frame mesh."""
    image = np.full((720, 1280, 3), 90, np.uint8)
    for index, (x, y) in enumerate([(60, 80), (480, 60), (900, 100), (200, 440), (640, 420)]):
        image[y : y + 140, x : x + 140] = cv2.resize(demo_frames[index * 6], (140, 140), interpolation=cv2.INTER_AREA)
    return image


def test_a_face_has_a_box_around_its_landmarks():
    mesh = np.array([[3, 5, 0], [10, 2, 9], [7, 8, -9]], np.float32)
    assert Face(mesh).box_px == (3.0, 2.0, 10.0, 8.0)


def test_a_still_gives_the_mesh_in_pixels(still_mesher, demo_frames):
    (face,) = still_mesher.find(demo_frames[0])
    assert face.landmarks_px.shape == (478, 3)
    assert face.landmarks_px.dtype == np.float32
    left_eye, right_eye, nose, chin = face.landmarks_px[[33, 263, 1, 152]]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < chin[1]
    x0, y0, x1, y1 = face.box_px
    assert 0 < x0 < x1 < 320
    assert 0 < y0 < y1 < 320


def test_stills_do_not_depend_on_each_other(still_mesher, demo_frames, group):
    first = still_mesher.find(group)
    still_mesher.find(demo_frames[0])
    again = still_mesher.find(group)
    assert len(first) == len(again)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.landmarks_px, b.landmarks_px)


def test_small_faces_are_found_from_left_to_right(still_mesher, group):
    found = still_mesher.find(group)
    centres = [(face.box_px[0] + face.box_px[2]) / 2 for face in found]
    np.testing.assert_allclose(centres, [130, 270, 550, 710, 970], atol=25)


def test_a_close_up_lands_where_the_whole_frame_does(still_mesher, demo_frames):
    (face,) = still_mesher.find(demo_frames[0])
    rgb = np.ascontiguousarray(demo_frames[0][:, :, ::-1])
    (close,) = solutions._close_up(still_mesher._engine._close_up, rgb, face.box_px)
    assert np.abs(close[:, :2] - face.landmarks_px[:, :2]).mean() < 3


def test_max_faces_is_a_limit(group):
    with FaceMesher(max_faces=2, still=True) as mesher:
        assert len(mesher.find(group)) == 2


def test_nobody_is_searched_for_where_all_that_are_wanted_are_found(demo_frames, monkeypatch):
    monkeypatch.setattr(solutions, "_detections", lambda *_: pytest.fail("searched"))
    for still in (True, False):
        with FaceMesher(max_faces=1, still=still) as mesher:
            assert [len(mesher.find(image)) for image in demo_frames[:12]] == [1] * 12


def test_nothing_is_found_where_nothing_is(video_mesher):
    noise = np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), np.uint8)
    video_mesher.reset()
    assert [video_mesher.find(image) for image in [*noise, np.zeros((1, 1, 3), np.uint8)]] == [[]] * 9


def test_a_video_is_followed_and_repeats_exactly(video_mesher, demo_frames):
    runs = []
    for _ in range(2):
        video_mesher.reset()
        runs.append([video_mesher.find(image) for image in demo_frames[:15]])
    assert [len(found) for found in runs[0]] == [1] * 15
    for (a,), (b,) in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.landmarks_px, b.landmarks_px)


def test_two_people_keep_their_ids(video_mesher, demo_frames):
    video_mesher.reset()
    tracker = Tracker()
    for index in range(15):
        pair = np.hstack([demo_frames[index], demo_frames[index + 20]])
        assert tracker.update(video_mesher.find(pair), index / 25) == [0, 1]


def test_far_faces_are_followed_between_searches(video_mesher, group, monkeypatch):
    searches = []
    detections = solutions._detections
    monkeypatch.setattr(solutions, "_detections", lambda *args: searches.append(1) or detections(*args))
    video_mesher.reset()
    shifted = [np.roll(group, 2 * index, axis=1) for index in range(12)]
    found = [video_mesher.find(image) for image in shifted]
    assert [len(each) for each in found] == [5] * 12
    assert len(searches) == 2
    for before, after in itertools.pairwise(found):
        assert all(iou(a.box_px, b.box_px) > 0.7 for a, b in zip(before, after, strict=True))
    assert video_mesher.find(np.zeros_like(group)) == []


def test_reset_forgets_the_faces_followed(video_mesher, group):
    video_mesher.reset()
    assert len(video_mesher.find(group)) == 5
    video_mesher.reset()
    assert video_mesher._engine._followed == []


def test_bad_input_is_refused(still_mesher):
    with pytest.raises(InputError, match="float32"):
        still_mesher.find(np.zeros((4, 6, 3), np.float32))
    for bad in (0, -1, 1.5, "3", True):
        with pytest.raises(ConfigError, match="max_faces"):
            FaceMesher(max_faces=bad)


def test_a_closed_mesher_says_so(demo_frames):
    mesher = FaceMesher()
    mesher.close()
    mesher.close()
    with pytest.raises(InputError, match="closed"):
        mesher.find(demo_frames[0])


def test_nothing_is_printed_from_start_to_first_face(demo):
    code = (
        "import sys, numpy as np; from mdhr_sdk.vision import *\n"
        "for still in (True, False):\n"
        "    with FaceMesher(still=still) as mesher, list_sources(sys.argv[1])[0] as source:\n"
        "        mesher.find(np.zeros((64, 64, 3), np.uint8))\n"
        "        for frame, _ in zip(source, range(3)): assert mesher.find(frame.image)\n"
        "        mesher.reset()\n"
        "        assert mesher.find(frame.image)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(demo)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LOGGING_CHILD = """
import itertools, os, sys, threading
import numpy as np
from mdhr_sdk.vision import FaceMesher, list_sources

def log():
    while not done.is_set():
        os.write(2, b"tick\\n")
        written.append(1)
        done.wait(0.001)

written, done = [], threading.Event()
still, model_file, demo = sys.argv[1:]
with FaceMesher(still=still == "True", model_file=model_file or None) as mesher, list_sources(demo)[0] as source:
    thread = threading.Thread(target=log)
    thread.start()
    for _ in range(15):
        assert not mesher.find(np.zeros((240, 320, 3), np.uint8))
    for frame in itertools.islice(source, 2):
        assert mesher.find(frame.image)
    done.set()
    thread.join()
print(len(written))
"""


@pytest.fixture(scope="module")
def task_file(tmp_path_factory) -> Path:
    """A model for the Tasks API, made of the wheel's models; without irises."""
    import mediapipe

    models = Path(mediapipe.__path__[0]) / "modules"
    path = tmp_path_factory.mktemp("task") / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(models / "face_detection" / "face_detection_short_range.tflite", "face_detector.tflite")
        archive.write(models / "face_landmark" / "face_landmark.tflite", "face_landmarks_detector.tflite")
    return path


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("api", ["solutions", "tasks"])
def test_other_threads_keep_their_logs_while_no_face_is_seen_and_at_the_first(request, demo, api, still):
    model_file = request.getfixturevalue("task_file") if api == "tasks" else ""
    command = [sys.executable, "-c", LOGGING_CHILD, str(still), str(model_file), str(demo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    assert done.stderr == "tick\n" * int(done.stdout), "all that was logged and nothing else"


def test_quiet_nests_and_always_restores(capfd):
    with pytest.raises(ZeroDivisionError), quiet:
        with quiet:
            os.write(2, b"hidden")
        os.write(2, b"hidden too")
        _ = 1 / 0
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


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
    start = ["create", "video"]  # the first picture is a blank one
    assert [entry[0] for entry in log] == [*start, "video", "video", "close", *start, "video", "close"]
    assert log[0] == ("create", "video", 3)
    assert 0 <= log[1][1] < log[2][1] < log[3][1]
    assert face.landmarks_px.shape == (478, 3)
    np.testing.assert_allclose(face.landmarks_px[0], [100, 25, -20])


def test_the_tasks_api_takes_stills_as_images(tasks):
    log, model = tasks
    with FaceMesher(still=True, model_file=str(model)) as mesher:
        mesher.find(np.zeros((100, 200, 3), np.uint8))
        mesher.reset()
    assert log == [("create", "image", 10), ("detect", (64, 64, 3)), ("detect", (100, 200, 3)), ("close",)]


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


def test_a_missing_mediapipe_is_named_with_the_command(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(faces.importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'mediapipe>=0.10.14,<0.10.30'")):
        FaceMesher()


def test_a_second_face_is_found_by_the_next_search_and_given_up_when_it_goes(demo_frames):
    """While one face is known the mesh for one is used: the same meshes, and a search every tenth frame for others."""
    empty = np.full_like(demo_frames[0], 90)
    seconds = [demo_frames[20] if 5 <= index < 25 else empty for index in range(70)]
    with FaceMesher() as mesher, FaceMesher(max_faces=1) as single:
        engine, meshes = mesher._engine, []
        several = []
        for index, second in enumerate(seconds):
            several.append(mesher.find(np.hstack([demo_frames[index % 16], second])))
            meshes.append(engine._whole is engine._several)
        alone = [single.find(np.hstack([demo_frames[i % 16], empty])) for i in range(5)]
    assert [len(found) for found in several] == [1] * 10 + [2] * 15 + [1] * 45
    assert meshes == [False] * 10 + [True] * 50 + [False] * 10, "for thirty frames it may come back"
    for (face, *_), (same,) in zip(several, alone, strict=False):
        np.testing.assert_array_equal(face.landmarks_px, same.landmarks_px)


@pytest.mark.parametrize("turn_deg", [0, 90, 135])
def test_a_second_face_that_mediapipe_sees_is_seen_however_it_is_turned(demo_frames, turn_deg):
    around = cv2.getRotationMatrix2D((160, 160), turn_deg, 1.0)
    with FaceMesher() as mesher:
        pairs = [np.hstack([f, cv2.warpAffine(f, around, (320, 320))]) for f in demo_frames[:4]]
        assert [len(mesher.find(pair)) for pair in pairs] == [2] * 4


def test_a_face_hidden_for_one_frame_costs_the_other_none(demo_frames):
    hidden = np.full_like(demo_frames[0], 90)
    with FaceMesher() as mesher:
        found = [
            mesher.find(np.hstack([demo_frames[i % 16], hidden if i in (10, 20) else demo_frames[i % 16 + 4]]))
            for i in range(30)
        ]
    assert all(face.box_px[0] < 320 for face in (faces[0] for faces in found))
    assert [len(faces) for faces in found] == [1 if i in (10, 20) else 2 for i in range(30)]


def test_a_face_that_only_its_mesh_still_follows_is_not_given_up_for_another(demo_frames, monkeypatch):
    """A face in profile is followed and would not be detected anew: the mesh for several has to see it to take over."""
    pair = np.hstack([demo_frames[0], demo_frames[20]])
    with FaceMesher() as mesher:
        engine = mesher._engine
        mesher.find(np.hstack([demo_frames[0], np.full_like(demo_frames[0], 90)]))
        engine._frames = 10
        seen = solutions._meshes
        only_right = lambda graph, rgb: [m for m in seen(graph, rgb) if graph is not engine._several or m[0, 0] > 320]  # noqa: E731
        monkeypatch.setattr(solutions, "_meshes", only_right)
        assert [face.box_px[0] < 320 for face in mesher.find(pair)] == [True, False]
        assert engine._whole is engine._one, "the other face is followed in a close-up"
