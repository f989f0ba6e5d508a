"""The wheel's models: near faces and far ones, one face and several."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.boxes import iou
from mdhr_sdk.vision.faces import small
from mdhr_sdk.vision.faces.engine import installed_mediapipe
from mdhr_sdk.vision.faces.mediapipe import solutions

pytestmark = pytest.mark.skipif(not installed_mediapipe()[1], reason="this MediaPipe has no models in its wheel")


def test_a_close_up_lands_where_the_whole_frame_does(still_mesher, demo_frames):
    (face,) = still_mesher.find(demo_frames[0])
    rgb = np.ascontiguousarray(demo_frames[0][:, :, ::-1])
    graph = still_mesher._engine._close_up
    (close,) = small.close_up(lambda part: solutions.meshes_of(graph, part), rgb, face.box_px)
    assert np.abs(close[:, :2] - face.landmarks_px[:, :2]).mean() < 3


@pytest.mark.parametrize("further", [False, True])
def test_landmarks_are_what_protobuf_says_they_are(further):
    """Also where a message has fields more than MediaPipe gives today, or one less."""
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList

    rng, face = np.random.default_rng(0), NormalizedLandmarkList()
    for x, y, z in rng.normal(size=(478, 3)):
        face.landmark.add(x=x, y=y, z=z)
    if further:
        face.landmark[7].visibility = 0.5
        face.landmark[9].ClearField("y")
    expected = np.array([(point.x, point.y, point.z) for point in face.landmark], np.float32)
    np.testing.assert_array_equal(solutions.points_of(face.SerializeToString()), expected)


def test_landmarks_are_not_asked_one_by_one(monkeypatch):
    from mediapipe.framework.formats import landmark_pb2

    face = landmark_pb2.NormalizedLandmarkList()
    face.landmark.add(x=0.25, y=0.5, z=-1)
    written = face.SerializeToString()
    monkeypatch.setattr(landmark_pb2, "NormalizedLandmarkList", None)
    np.testing.assert_array_equal(solutions.points_of(written), [[0.25, 0.5, -1]])


@pytest.mark.parametrize(("max_faces", "still", "graphs"), [(1, False, 3), (10, True, 3), (10, False, 5)])
def test_only_graphs_that_are_used_are_opened(max_faces, still, graphs):
    with FaceMesher(max_faces, still) as mesher:
        assert len(mesher._engine._graphs) == graphs


def test_far_faces_are_followed_between_searches(video_mesher, group, monkeypatch):
    searches = []
    detections = solutions._detections
    monkeypatch.setattr(
        solutions, "_detections", lambda g, rgb: searches.extend([1] * (rgb.shape == group.shape)) or detections(g, rgb)
    )
    video_mesher.reset()
    shifted = [np.roll(group, 2 * index, axis=1) for index in range(12)]
    found = [video_mesher.find(image) for image in shifted]
    assert [len(each) for each in found] == [5] * 12
    assert len(searches) == 2
    for before, after in itertools.pairwise(found):
        assert all(iou(a.box_px, b.box_px) > 0.7 for a, b in zip(before, after, strict=True))
    assert video_mesher.find(np.zeros_like(group)) == []


@pytest.mark.parametrize(("still", "asked"), [(False, [0, 10, 20, 40, 60]), (True, [*range(62)])])
def test_far_faces_are_looked_for_less_often_beside_one_that_is_long_alone(demo_frames, monkeypatch, still, asked):
    far = []
    detections = solutions._detections
    with FaceMesher(still=still) as mesher:
        engine = mesher._engine

        def note(graph, rgb):
            far.extend([engine._frames] * (graph is engine._far and rgb.shape == demo_frames[0].shape))
            return detections(graph, rgb)

        monkeypatch.setattr(solutions, "_detections", note)
        assert [len(mesher.find(demo_frames[0])) for _ in range(62)] == [1] * 62
    assert far == asked


def test_a_far_face_hidden_for_one_frame_is_back_in_the_next(demo_frames):
    def pair(index, hidden):
        image = np.full((540, 960, 3), 90, np.uint8)
        image[100:420, 60:380] = demo_frames[index % 16]
        if not hidden:
            image[200:340, 640:780] = cv2.resize(demo_frames[index % 16], (140, 140), interpolation=cv2.INTER_AREA)
        return image

    with FaceMesher() as mesher:
        found = [len(mesher.find(pair(index, index == 11))) for index in range(16)]
    assert found == [2] * 11 + [1] + [2] * 4


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
        seen = solutions.meshes_of
        only_right = lambda graph, rgb: [m for m in seen(graph, rgb) if graph is not engine._several or m[0, 0] > 320]  # noqa: E731
        monkeypatch.setattr(solutions, "meshes_of", only_right)
        assert [face.box_px[0] < 320 for face in mesher.find(pair)] == [True, False]
        assert engine._whole is engine._one, "the other face is followed in a close-up"
