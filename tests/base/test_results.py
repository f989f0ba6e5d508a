"""What a frame result says of itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mdhr_sdk.results import AUScore, FaceResult, FrameResult, ModelInfo


def info(trained: bool = True) -> ModelInfo:
    return ModelInfo("mine", "disfa", "resnet50", "torch", "cpu", trained)


def face(track_id: int = 0) -> FaceResult:
    aus = {"AU01": AUScore("AU01", 0.12345678, False), "AU12": AUScore("AU12", 0.75, True)}
    return FaceResult(track_id, (1.005, 2.0, 30.25, 40.128), np.zeros((478, 3), np.float32), aus)


def frame(*faces: FaceResult, trained: bool = True) -> FrameResult:
    return FrameResult("clip.mp4", 3, 0.1200000001, faces, info(trained))


def test_a_face_gives_its_scores_by_code():
    one = face()
    assert one["AU12"].probability == 0.75
    assert one.active == ("AU12",)
    with pytest.raises(KeyError, match="'AU99' is not scored here; scored are AU01, AU12"):
        one["AU99"]
    for code in ("AU1", "au 1", 1):
        with pytest.raises(KeyError, match="write 'AU01'"):
            one[code]  # type: ignore[index]


def test_rows_are_one_a_face():
    first, second = frame(face(0), face(4)).rows()
    assert second["track_id"] == 4
    assert first == {
        "source": "clip.mp4",
        "frame": 3,
        "timestamp_s": 0.12,
        "status": "ok",
        "note": "",
        "track_id": 0,
        "x0_px": pytest.approx(1.0, abs=0.01),
        "y0_px": 2.0,
        "x1_px": 30.25,
        "y1_px": 40.13,
        "AU01_probability": 0.123457,
        "AU01_occurrence": 0,
        "AU12_probability": 0.75,
        "AU12_occurrence": 1,
        "model": f"{info().name}: disfa resnet50",
    }


def test_a_frame_without_a_face_is_one_row_that_says_so():
    empty = frame()
    assert (empty.status, frame(face()).status) == ("no_face", "ok")
    assert list(empty.rows()) == [
        {
            "source": "clip.mp4",
            "frame": 3,
            "timestamp_s": 0.12,
            "status": "no_face",
            "note": "",
            "model": f"{info().name}: disfa resnet50",
        }
    ]


def test_random_weights_are_told_in_every_row():
    assert info(trained=False).tag == "disfa resnet50 (untrained)"
    for result in (frame(trained=False), frame(face(), trained=False)):
        assert all(row["model"] == f"{info().name}: disfa resnet50 (untrained)" for row in result.rows())


def test_what_the_weights_learnt_from_and_tiers_are_told_in_every_row():
    tiers = {"AU01": "B", "AU12": "A", "AU04": "C"}
    told = dataclasses.replace(info(), trained_on="synthetic faces only", tiers=tiers, off=("AU04",))
    assert told.tag == "disfa resnet50 (trained on synthetic faces only)"
    words = "disfa resnet50 (trained on synthetic faces only; reliability A: AU12; B: AU01; off: AU04)"
    assert told.details == f"{told.name}: {words}"
    assert (told.label("AU12"), told.label("AU99"), info().label("AU12")) == ("AU12 A", "AU99", "AU12")
    assert dataclasses.replace(told, off=()).reliability == "reliability A: AU12; B: AU01; C: AU04"
    assert (info().note, info().reliability, info().details) == ("", "", f"{info().name}: disfa resnet50")
    for result in (frame(), frame(face())):
        result = dataclasses.replace(result, model=told)
        assert all(row["model"] == told.details for row in result.rows())
    assert hash(told) == hash(dataclasses.replace(told, tiers={}))


def test_how_scores_and_decisions_came_about_is_told_in_every_row():
    told = dataclasses.replace(info(trained=False), neutral_s=2.0, lookahead=0, replaced={"AU12": 0.4, "AU01": 1.0})
    words = "untrained; stream, lookahead 0; relative to the first 2 s; AU12 from 0.4, AU01 from 1.0"
    assert told.details == f"{told.name}: disfa resnet50 ({words})"
    assert told.tag == "disfa resnet50 (untrained; relative to the first 2 s)"


def test_an_image_is_not_printed():
    shown = dataclasses.replace(frame(), image=np.zeros((4, 4, 3), np.uint8))
    assert "image" not in repr(shown)
