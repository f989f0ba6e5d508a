"""Results as files in one call, and through a pickle."""

from __future__ import annotations

import dataclasses
import pickle

import cv2
import numpy as np
import pandas as pd
import pytest

from mdhr_sdk.errors import InputError, OutputError, SourceError
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
        f"{stem}_{end}" for stem in stems for end in ("aus.csv", "events.csv", "overlay.mp4", "timeline.png")
    ]
    assert list(pd.read_csv(saved[0]).source.unique()) == ["a/clip.mp4"]


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("talk v1.2", "video", "talk_v1"), ("a.b", "sequence", "a.b"), ("run.1", "camera", "run.1"),
        ("https://host/live.m3u8", "stream", "live.m3u8"), ("seen/*.png", "sequence", "seen"),
        ("array", "array", "array"),
    ],
)  # fmt: skip
def test_files_are_named_by_what_the_source_is(tmp_path, made, name, kind, stem):
    results = dataclasses.replace(made(name, size=None), kinds={name: kind})
    path, events = results.save(tmp_path, timeline=False)
    assert (path.name, events.name) == (f"{stem}_aus.csv", f"{stem}_events.csv")
    again, _ = pickle.loads(pickle.dumps(results))[:2].save(tmp_path, timeline=False)
    assert again == path


def test_names_are_told_apart_from_those_of_sources_without_a_frame(tmp_path, made):
    kinds = {"a/clip.mp4": "video", "b/clip.mp4": "video"}
    results = dataclasses.replace(made("b/clip.mp4", size=None), kinds=kinds)
    assert [path.name for path in results.save(tmp_path, timeline=False)] == [
        "b_clip_aus.csv", "b_clip_events.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "suffix"), [("image", "jpg"), ("video", "mp4")])
def test_the_overlay_of_a_still_is_one_and_that_of_a_video_of_one_frame_is_not(tmp_path, made, kind, suffix):
    results = dataclasses.replace(made("photo.png", count=1, fps=0), kinds={"photo.png": kind})
    names = [path.name for path in results.save(tmp_path)]
    assert f"photo_overlay.{suffix}" in names and ("photo_events.csv" in names) == (kind == "video")
    if kind == "image":
        drawn = cv2.imread(str(tmp_path / "photo_overlay.jpg")).astype(int)
        assert np.abs(drawn - results[0].annotate()).mean() < 8


def test_what_broke_off_is_saved_as_incomplete(tmp_path, made):
    error = SourceError("a.mp4 ended early")
    results = dataclasses.replace(made("a.mp4", "b.mp4"), errors=(("a.mp4", error), ("c.mp4", SourceError("gone"))))
    wanted = {
        f"a_{end}"
        for end in ("aus.incomplete.csv", "events.incomplete.csv", "overlay.incomplete.mp4", "timeline.incomplete.png")
    }
    wanted |= {f"b_{end}" for end in ("aus.csv", "events.csv", "overlay.mp4", "timeline.png")}
    assert {path.name for path in results.save(tmp_path / "all")} == wanted == names(tmp_path / "all")
    for part in (results.for_source("a.mp4"), results[:2], results[1:3][:1]):
        assert part.errors == (("a.mp4", error),)
        assert {path.name for path in part.save(tmp_path / "part")} == {one for one in wanted if one[0] == "a"}
    assert results.for_source("b.mp4").errors == results[:0].errors == ()


def test_what_is_not_wanted_is_not_saved(tmp_path, made):
    made("clip.mp4").save(tmp_path, overlay=False, timeline=False)
    assert names(tmp_path) == {"clip_aus.csv", "clip_events.csv"}
    with pytest.raises(InputError, match="keep images"):
        made("clip.mp4", size=None).save(tmp_path / "new", overlay=True)
    with pytest.raises(InputError, match="no frame to save"):
        made("clip.mp4")[:0].save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("blocked", [["a_timeline.png"], ["a_aus.csv", "b_aus.csv"], ["a_overlay.mp4", "b_aus.csv"]])
@pytest.mark.parametrize("overlay", [True, False])
def test_what_cannot_be_saved_leaves_the_rest_and_all_of_it_is_told(tmp_path, made, blocked, overlay):
    for name in blocked:
        (tmp_path / name).mkdir()
    ends = ("aus.csv", "events.csv", *(["overlay.mp4"] if overlay else []), "timeline.png")
    wanted = {f"{stem}_{end}" for stem in "ab" for end in ends}
    with pytest.raises(OutputError) as caught:
        made("a.mp4", "b.mp4").save(tmp_path, overlay=overlay)
    assert all(name in str(caught.value) for name in blocked if name in wanted) and "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == wanted - {*blocked}


def test_a_codec_that_is_none_is_told_before_anything_is_written(tmp_path, made):
    with pytest.raises(OutputError, match="one of h264, vp9, av1"):
        made("a.mp4").save(tmp_path / "new", codec="mpeg2")
    assert not (tmp_path / "new").exists()


def test_a_frame_is_drawn_by_itself(frame):
    result = frame(0, size=(64, 96))
    assert np.array_equal(result.annotate(), annotate(result.image, result))
    assert not np.array_equal(result.annotate(), result.image)
    with pytest.raises(InputError, match=r"frame 0 of 'clip\.mp4' has none; keep images with images=True"):
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
