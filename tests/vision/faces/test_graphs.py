"""MediaPipe in the thread that asks: what it sees, who interrupts it, and how it ends."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces.engine import installed_mediapipe
from processes import run_python

INTERRUPTED = """
import os, signal, sys, threading, time
import cv2
from mdhr_sdk.vision import FaceMesher

frame = cv2.imread(sys.argv[1])
mesher = FaceMesher(max_faces=1)
mesher.find(frame)

def interrupt():
    time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)

for _ in range(6):
    threading.Thread(target=interrupt).start()
    try:
        while True:
            mesher.find(frame)
    except KeyboardInterrupt:
        print("interrupted, and finds", len(mesher.find(frame)))
mesher.reset()
mesher.close()
"""

LEFT_BEHIND = """
import sys, threading, time
import cv2
from mdhr_sdk.vision import FaceMesher

frame, mesher = cv2.imread(sys.argv[1]), FaceMesher(max_faces=1)
if "large" in sys.argv:  # most of the time goes into OpenCV
    frame = cv2.resize(frame, (6000, 6000))
mesher.find(frame)

def work():
    while True:
        mesher.find(frame)

threading.excepthook = lambda _: None
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
print("leaves")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_ctrl_c_inside_of_a_graph_interrupts_and_leaves_it_usable(face_file: Path) -> None:
    ended = run_python("-c", INTERRUPTED, face_file)
    assert (ended.returncode, ended.stdout) == (0, "interrupted, and finds 1\n" * 6), ended.stderr


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_thread_inside_of_a_graph_does_not_break_the_end_of_the_process(face_file: Path, size: str) -> None:
    ended = run_python("-c", LEFT_BEHIND, face_file, size)
    assert (ended.returncode, ended.stdout) == (0, "leaves\n"), ended.stderr


def test_a_mesher_is_closed_after_the_frame_that_another_thread_is_at(demo_frames: np.ndarray) -> None:
    errors: list[BaseException] = []
    begun = threading.Event()

    def work() -> None:
        try:
            while True:
                mesher.find(demo_frames[0])
                begun.set()
        except InputError as error:
            errors.append(error)

    mesher = FaceMesher(max_faces=1)
    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    mesher.close()
    mesher.close()
    thread.join(60)
    assert not thread.is_alive() and [str(error) for error in errors] == ["this FaceMesher is closed; make a new one"]


@pytest.mark.skipif(not installed_mediapipe()[1], reason="this MediaPipe has no models in its wheel")
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted where Linux lists them")
def test_graphs_have_no_threads_and_see_what_mediapipe_sees(demo_frames: np.ndarray) -> None:
    from mediapipe.python.solutions import face_mesh

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    with FaceMesher(max_faces=1) as warm:
        warm.find(demo_frames[0])
    before = threads()
    with FaceMesher(max_faces=1) as mesher:
        found = [mesher.find(image)[0].landmarks_px for image in demo_frames[:8]]
        assert threads() <= before  # others may end meanwhile
    height, width = demo_frames[0].shape[:2]
    with face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True) as theirs:
        for image, ours in zip(demo_frames[:8], found, strict=True):
            (face,) = theirs.process(np.ascontiguousarray(image[:, :, ::-1])).multi_face_landmarks
            expected = np.array([(point.x, point.y, point.z) for point in face.landmark], np.float32)
            np.testing.assert_array_equal(ours, expected * np.array([width, height, width], np.float32))
