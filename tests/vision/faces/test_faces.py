"""Faces and meshes on real pixels, whichever of MediaPipe's models find them."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mdhr_sdk.errors import ConfigError, InputError, MissingDependencyError
from mdhr_sdk.vision import Face, FaceMesher, Tracker
from mdhr_sdk.vision.faces.mediapipe import package
from mdhr_sdk.vision.quiet import quiet


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


@pytest.mark.parametrize(("max_faces", "still"), [(1, True), (2, True), (1, False), (2, False)])
def test_max_faces_is_a_limit_and_the_others_are_counted(group, max_faces, still):
    with FaceMesher(max_faces, still) as mesher:
        for _ in range(3):
            assert (len(mesher.find(group)), mesher.seen) == (max_faces, 5)


def test_of_a_still_the_largest_faces_are_kept(demo_frames):
    image = np.full((400, 960, 3), 90, np.uint8)
    for x, side in ((0, 150), (180, 300), (500, 180), (700, 240)):
        image[40 : 40 + side, x : x + side] = cv2.resize(demo_frames[0], (side, side), interpolation=cv2.INTER_AREA)
    with FaceMesher(max_faces=2, still=True) as mesher:
        centres = [(face.box_px[0] + face.box_px[2]) / 2 for face in mesher.find(image)]
        assert mesher.seen == 4
    np.testing.assert_allclose(centres, [320, 810], atol=20)


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


def test_reset_forgets_the_faces_followed(video_mesher, group):
    video_mesher.reset()
    assert len(video_mesher.find(group)) == 5
    video_mesher.reset()
    assert video_mesher._engine._small.followed == []


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
    mesher.reset()  # its new start is quiet
    assert mesher.find(frame.image)
print(len(written))
"""


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("api", ["solutions", "tasks"])
def test_other_threads_keep_their_logs_while_no_face_is_seen_and_at_the_first(request, demo_path, api, still):
    model_file = request.getfixturevalue("task_file") if api == "tasks" else ""
    command = [sys.executable, "-c", LOGGING_CHILD, str(still), str(model_file), str(demo_path)]
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


FORKED = """
import os, sys
import cv2
from mdhr_sdk.errors import MDHRError
from mdhr_sdk.vision import FaceMesher

def says(use):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            use()
            print("went on")
        except MDHRError as error:
            print(error)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

image = cv2.imread(sys.argv[1])
mesher = FaceMesher(max_faces=1)
assert mesher.find(image)
says(lambda: mesher.find(image))
says(mesher.reset)
says(FaceMesher)
says(mesher.close)
mesher.close()
says(FaceMesher)
assert FaceMesher(max_faces=1).find(image), "this process goes on"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
def test_after_a_fork_face_models_raise_and_do_not_hang(face_file):
    command = [sys.executable, "-c", FORKED, str(face_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[3] == "went on", "to close is no use of them"
    assert all("forked" in line and "get_context('spawn')" in line for line in said[:3] + said[4:]) and len(said) == 5


@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_a_system_library_that_mediapipe_lacks_is_named_with_the_command(monkeypatch, kind: type[Exception]):
    def broken(name):
        raise kind("libEGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(package.importlib, "import_module", broken)
    with pytest.raises(MissingDependencyError, match=r"^MediaPipe .*libEGL\.so\.1.*apt-get install .*libgles2$"):
        FaceMesher()
