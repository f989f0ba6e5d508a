"""What every face engine must do: one contract, for each engine that can run here."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from mdhr_sdk import AUDetector
from mdhr_sdk.errors import InputError
from mdhr_sdk.vision import FaceMesher, Tracker
from processes import run_python

EYE_CORNERS = (33, 263)  # the outer ones
AGREE = 0.05  # mean distance of two engines' landmarks, in outer eye distances; their networks are not the same


@pytest.fixture
def video(engine: dict[str, str]) -> Iterator[FaceMesher]:
    with FaceMesher(**engine) as mesher:
        yield mesher


@pytest.fixture
def still(engine: dict[str, str]) -> Iterator[FaceMesher]:
    with FaceMesher(24, still=True, **engine) as mesher:
        yield mesher


def placed(frame: np.ndarray, size: tuple[int, int], side: int, *corners: tuple[int, int]) -> np.ndarray:
    """A picture (width, height) of noise with the frame, of that side, at each corner (x, y); the edge may cut it."""
    picture = np.random.default_rng(0).integers(80, 100, (size[1] + 2 * side, size[0] + 2 * side, 3), np.uint8)
    for x, y in corners:
        small = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
        picture[side + y : 2 * side + y, side + x : 2 * side + x] = small
    return np.ascontiguousarray(picture[side:-side, side:-side])


def middles(faces: list) -> np.ndarray:
    return np.array([np.add(face.box_px[:2], face.box_px[2:]) / 2 for face in faces])


FAR = [(60, 80), (480, 60), (900, 100), (200, 440), (640, 420)]
CROWD = [(200 * x + 15, 200 * y + 15) for y, x in itertools.product(range(4), range(6))]
PICTURES = {  # size, side of the frames, their corners
    "near": ((320, 320), 320, [(0, 0)]),
    "fills the picture": ((200, 220), 320, [(-60, -50)]),
    "far": ((1280, 720), 140, FAR),
    "one small": ((2400, 1350), 100, [(1111, 487)]),
    "many": ((1200, 800), 170, CROWD),
    "cut by the left edge": ((640, 360), 320, [(-95, 20)]),
    "cut by the lower edge": ((640, 360), 320, [(150, 90)]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_faces_of_a_still_are_found_each_once(still: FaceMesher, demo_frames: np.ndarray, name: str) -> None:
    size, side, corners = PICTURES[name]
    found = still.find(placed(demo_frames[0], size, side, *corners))
    assert still.seen == len(found) == len(corners)
    expected = sorted((x + side / 2, y + side / 2) for x, y in corners)
    distances = np.linalg.norm(middles(found)[:, None] - np.array(expected), axis=2)
    assert (distances.min(axis=0) < 0.3 * side).all(), "one in each place"
    for face in found:
        assert face.landmarks_px.shape == (478, 3) and face.landmarks_px.dtype == np.float32
        left, right, nose, chin = face.landmarks_px[[33, 263, 1, 152], :2]
        assert left[0] < nose[0] < right[0] and left[1] < nose[1] < chin[1]


@pytest.mark.parametrize("turn_deg", [-40, 40, 90])
def test_a_turned_face_is_meshed_as_turned(still: FaceMesher, demo_frames: np.ndarray, turn_deg: float) -> None:
    around = cv2.getRotationMatrix2D((160, 160), turn_deg, 0.8)
    (upright,), (turned,) = (
        still.find(one) for one in (demo_frames[0], cv2.warpAffine(demo_frames[0], around, (320, 320)))
    )
    expected = np.c_[upright.landmarks_px[:, :2], np.ones(478)] @ around.T
    eyes = np.linalg.norm(np.subtract(*expected[list(EYE_CORNERS)]))
    assert np.linalg.norm(turned.landmarks_px[:, :2] - expected, axis=1).mean() < 0.08 * eyes


def test_nothing_is_found_where_nothing_is(video: FaceMesher, still: FaceMesher) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    for picture in (noise, np.zeros((1, 1, 3), np.uint8), np.full((720, 1280, 3), 90, np.uint8)):
        assert still.find(picture) == [] and video.find(picture) == []


def test_two_people_keep_their_ids_and_a_reset_forgets_all(video: FaceMesher, demo_frames: np.ndarray) -> None:
    runs = []
    for _ in range(2):
        video.reset()
        tracker: Tracker = Tracker()
        found = [video.find(np.hstack([demo_frames[i], demo_frames[i + 20]])) for i in range(12)]
        assert [tracker.update(faces, i / 25) for i, faces in enumerate(found)] == [[0, 1]] * 12
        runs.append([face.landmarks_px for faces in found for face in faces])
    np.testing.assert_array_equal(*runs)


def test_a_face_that_goes_is_gone_and_comes_back(video: FaceMesher, demo_frames: np.ndarray) -> None:
    blank = np.full_like(demo_frames[0], 90)
    frames = [*demo_frames[:4], *[blank] * 4, *demo_frames[4:10]]
    counts = [len(video.find(frame)) for frame in frames]
    assert counts[:8] == [1] * 4 + [0] * 4 and counts[-3:] == [1] * 3


@pytest.mark.parametrize("still", [True, False])
def test_max_faces_is_a_limit_and_the_others_are_counted(engine, demo_frames, still: bool) -> None:
    picture = placed(demo_frames[0], (1280, 720), 140, *FAR)
    with FaceMesher(2, still, **engine) as mesher:
        assert [(len(mesher.find(picture)), mesher.seen) for _ in range(2)] == [(2, 5)] * 2


def test_one_thread_at_a_time_and_none_after_the_end(engine, demo_frames: np.ndarray) -> None:
    errors, begun = list[str](), threading.Event()
    mesher = FaceMesher(1, **engine)

    def work() -> None:
        try:
            while len(mesher.find(demo_frames[0])) == 1:
                begun.set()
        except InputError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    mesher.close()
    for thread in threads:
        thread.join(60)
    assert errors == ["this FaceMesher is closed; make a new one"] * 2


FORKED = """
import os, sys
import cv2
from mdhr_sdk.errors import MDHRError
from mdhr_sdk.vision import FaceMesher

image = cv2.imread(sys.argv[1])
engine = dict(zip(("faces", "model_file"), sys.argv[2:]))
mesher = FaceMesher(1, **engine)
assert mesher.find(image)
for use in (lambda: mesher.find(image), lambda: FaceMesher(1, **engine)):
    child = os.fork()
    if child == 0:
        try:
            use()
        except MDHRError as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert mesher.find(image), "this process goes on"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
def test_a_forked_process_gets_an_error_and_does_not_hang(engine: dict[str, str], face_file) -> None:
    ended = run_python("-c", FORKED, face_file, *engine.values())
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_landmarks_agree_with_those_of_the_other_engines(engines: dict[str, dict[str, str]], demo_frames) -> None:
    meshes = {}
    for name, engine in engines.items():
        with FaceMesher(1, **engine) as mesher:
            meshes[name] = np.stack([mesher.find(frame)[0].landmarks_px[:, :2] for frame in demo_frames[:20]])
    for one, other in itertools.combinations(meshes, 2):
        eyes = np.linalg.norm(np.subtract(*meshes[one][:, EYE_CORNERS, :].swapaxes(0, 1)), axis=-1)
        apart = np.linalg.norm(meshes[one] - meshes[other], axis=-1).mean(axis=1) / eyes
        print(
            f"{one}, {other}: {100 * apart.mean():.2f} % of the outer eye distance, at most {100 * apart.max():.2f} %"
        )
        assert apart.max() < AGREE


@pytest.mark.slow
def test_decisions_agree_whichever_engine_found_the_faces(engines: dict[str, dict[str, str]], demo_path) -> None:
    decisions = {}
    for name, engine in engines.items():
        given = {"faces": engine["faces"], "face_model": engine.get("model_file")}
        with AUDetector.from_pretrained("edge", max_faces=1, **given) as detector:
            frames = [frame.faces for frame in detector.predict(demo_path, stream=True)]
        assert all(len(faces) == 1 for faces in frames)
        decisions[name] = np.array([[score.occurrence for score in faces[0].aus.values()] for faces in frames])
    for one, other in itertools.combinations(decisions, 2):
        same = (decisions[one] == decisions[other]).mean()
        print(f"{one} and {other}: {100 * same:.2f} % of {decisions[one].size} decisions agree")
        assert same >= 0.98
