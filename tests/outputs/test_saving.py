"""Results as files in one call, and through a pickle."""

from __future__ import annotations

import dataclasses
import pickle

import cv2
import numpy as np
import pandas as pd
import pytest

from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs import Results, annotate


@pytest.fixture
def made(frame, codes):
    def make(*sources: str, count: int = 4, fps: float = 25, size: tuple[int, int] | None = (64, 96)) -> Results:
        frames = [frame(index, source=name, size=size) for name in sources for index in range(count)]
        return Results(frames, frames[0].model, fps=fps, codes=codes, timings_s={"read": 0.5})

    return make


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_results_are_saved_under_the_names_of_mdhr_detect(tmp_path, made):
    saved = made("a/clip.mp4", "b/clip.mp4", "camera 0").save(tmp_path / "new")
    stems = ("a_clip", "b_clip", "camera_0")
    assert names(tmp_path / "new") == {path.name for path in saved}
    assert [path.name for path in saved] == [
        f"{stem}_{end}" for stem in stems for end in ("aus.csv", "overlay.mp4", "timeline.png")
    ]
    assert list(pd.read_csv(saved[0]).source.unique()) == ["a/clip.mp4"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("film.2024.mp4", "film.2024"), ("run.1", "run.1"), ("https://host/live.m3u8", "live.m3u8"),
        ("seen/*.png", "seen"), ("array", "array"),
    ],
)  # fmt: skip
def test_a_name_says_what_it_is_of(tmp_path, made, name, stem):
    (path,) = made(name, size=None).save(tmp_path, timeline=False)
    assert path.name == f"{stem}_aus.csv"


def test_a_still_is_saved_as_one(tmp_path, made):
    results = made("photo.png", count=1, fps=0)
    assert [path.name for path in results.save(tmp_path)][1] == "photo_overlay.jpg"
    drawn = cv2.imread(str(tmp_path / "photo_overlay.jpg")).astype(int)
    assert np.abs(drawn - results[0].annotate()).mean() < 8


def test_what_is_not_wanted_is_not_saved(tmp_path, made):
    made("clip.mp4").save(tmp_path, overlay=False, timeline=False)
    assert names(tmp_path) == {"clip_aus.csv"}
    with pytest.raises(InputError, match="keep images"):
        made("clip.mp4", size=None).save(tmp_path / "new", overlay=True)
    with pytest.raises(InputError, match="no frame to save"):
        made("clip.mp4")[:0].save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_saved_leaves_the_rest(tmp_path, made):
    (tmp_path / "a_timeline.png").mkdir()
    with pytest.raises(OutputError, match=r"a_timeline\.png' cannot be written"):
        made("a.mp4", "b.mp4").save(tmp_path)
    assert names(tmp_path) == {f"{stem}_{end}" for stem in "ab" for end in ("aus.csv", "overlay.mp4", "timeline.png")}


def test_a_frame_is_drawn_by_itself(frame):
    result = frame(0, size=(64, 96))
    assert np.array_equal(result.annotate(), annotate(result.image, result))
    assert not np.array_equal(result.annotate(), result.image)
    with pytest.raises(InputError, match=r"frame 0 of 'clip\.mp4' has none; ask the detector to keep images"):
        frame(0).annotate()


def test_results_come_out_of_a_pickle_as_they_went_in(made):
    results = made("clip.mp4")
    again = pickle.loads(pickle.dumps(results))
    assert (again.model, again.fps, again.codes, again.timings_s) == (results.model, 25, results.codes, {"read": 0.5})
    assert len(again) == len(results) and again[1:].sources == ("clip.mp4",)
    for one, other in zip(results, again, strict=True):
        assert list(one.rows()) == list(other.rows()) and np.array_equal(one.image, other.image)
        for face, same in zip(one.faces, other.faces, strict=True):
            plain, both = {"landmarks_px": None}, (face, same)
            first, second = (dataclasses.asdict(dataclasses.replace(each, **plain)) for each in both)
            assert first == second and np.array_equal(face.landmarks_px, same.landmarks_px)
    pd.testing.assert_frame_equal(again.to_dataframe(), results.to_dataframe())
