"""A `face_landmarker.task` of the caller's, through MediaPipe's Tasks API."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mdhr_sdk.errors import SourceError
from mdhr_sdk.vision import FaceMesher


def test_a_video_is_followed_and_forgotten_at_reset(task_file, demo_frames):
    """The Tasks API refuses times that do not rise."""
    with FaceMesher(max_faces=2, model_file=task_file) as mesher:
        runs = []
        for _ in range(2):
            mesher.reset()
            runs.append([mesher.find(image)[0].landmarks_px for image in demo_frames[:3]])
    np.testing.assert_array_equal(*runs)


def test_a_mesh_is_in_pixels(task_file, monkeypatch):
    from mediapipe.tasks.python.vision import FaceLandmarker

    mesh = [SimpleNamespace(x=0.5, y=0.25, z=-0.1)] * 478
    monkeypatch.setattr(FaceLandmarker, "detect", lambda *_: SimpleNamespace(face_landmarks=[mesh]))
    with FaceMesher(still=True, model_file=str(task_file)) as mesher:
        (face,) = mesher.find(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(face.landmarks_px, [[100, 25, -20]] * 478)


def test_model_files_that_are_none_are_named_in_one_quiet_line(tmp_path, capfd):
    (tmp_path / "junk.task").write_bytes(b"junk" * 100)
    for name, said in (("nowhere.task", "No such file"), ("junk.task", "MediaPipe says: Unable")):
        with pytest.raises(SourceError, match=rf"{name}.*{said}") as caught:
            FaceMesher(model_file=tmp_path / name)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
