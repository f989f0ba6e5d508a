"""What of a source is scored: times stay exact, and so do the numbers of the frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_videos import numbered, write_video
from mdhr_sdk import Scope
from mdhr_sdk.errors import ConfigError, SourceError
from mdhr_sdk.vision import Frame, list_sources
from mdhr_sdk.vision.people import Chooser
from mdhr_sdk.vision.scope import read_person, read_region
from mdhr_sdk.vision.sources import video as video_file


def frames_of(given: Any, scope: Scope | None = None) -> list[Frame]:
    (source,) = list_sources(given)
    with source.scoped(scope or Scope()) as opened:
        return list(opened)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"start_s": -1}, "the start must be a number"),
        ({"start_s": True}, "the start must be a number"),
        ({"start_s": 3, "end_s": 3}, "later than the start, 3 s; got 3"),
        ({"end_s": "5"}, "later than the start"),
        ({"every": 0}, "every must be an integer of at least 1; got 0"),
        ({"sample_fps": 0}, "sample_fps must be a number above 0"),
        ({"sample_fps": float("nan")}, "sample_fps"),
        ({"every": 2, "sample_fps": 5}, "got both"),
        ({"region": (0, 0, 10, 0)}, "a region is"),
        ({"region": ((0, 0), (1, 1))}, "a region is"),
        ({"region": (1, 2, 3)}, "a region is"),
        ({"person": "biggest"}, "largest, central, first or a track id"),
        ({"person": -1}, "or a track id, 0 or more; got -1"),
        ({"reidentify": "no"}, "reidentify must be True or False; got 'no'"),
    ],
)
def test_a_scope_that_cannot_be_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Scope(**values)


def test_what_is_typed_means_a_scope() -> None:
    assert read_region("10,20,30,40") == (10, 20, 30, 40)
    assert read_region("0,0 10,0 5,8.5") == ((0, 0), (10, 0), (5, 8.5))
    assert (read_person("largest"), read_person("3")) == ("largest", 3)
    for text in ("1,2,3", "a,b,c,d", "", "1,1 2,2", "1,1,2 3,3,4 5,5,6"):
        with pytest.raises(ConfigError, match="region"):
            read_region(text)
    for text in ("0,0 5,5 9,9", "3,3 3,3 3,3", "0,0 9,9 9,0 0,9", "0,0 10,0 10,10 5,-5"):  # a line, a point, bow ties
        with pytest.raises(ConfigError, match=r"one line|must not cross"):
            read_region(text)
    for count, said in ((256, "one line"), (257, "at most 256 corners; got 257")):  # each side is compared with each
        with pytest.raises(ConfigError, match=said):
            read_region(" ".join(f"{place},{place}" for place in range(count)))
    arrow = read_region("0,0 10,0 5,5 10,10 0,10")
    assert len(arrow) == 5 and read_region("0,0 5,0 10,0 10,10")  # hollow, and a corner on a side


CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("a.mp4", "libx264", {"g": "12", "bf": "2"}),
    "h264 in matroska": ("a.mkv", "libx264", {"g": "12", "bf": "2"}),
    "h264, open groups": ("a.mp4", "libx264", {"g": "12", "bf": "2", "x264-params": "open-gop=1"}),
    "hevc, open groups": ("a.mp4", "libx265", {"x265-params": "log-level=none:keyint=12:open-gop=1"}),
    "vp9": ("a.webm", "libvpx-vp9", {"g": "12"}),
    "avi": ("a.avi", "mpeg4", {"g": "12", "bf": "2"}),
    "broadcast": ("a.ts", "libx264", {"g": "12", "bf": "2"}),
}


@pytest.mark.parametrize("name", CODECS)
def test_the_frames_from_a_time_on_are_those_of_the_whole_file(tmp_path: Path, name: str) -> None:
    file, codec, options = CODECS[name]
    path = write_video(tmp_path / file, 110, codec, codec_options=options)
    whole = frames_of(path)
    assert len(whole) == 110
    for scope in (Scope(start_s=3.1), Scope(start_s=2.5, end_s=3.0), Scope(end_s=0.4)):
        end_s = scope.end_s or 1e9
        expected = [one for one in whole if scope.start_s - 1e-6 <= one.timestamp_s < end_s - 1e-6]
        found = frames_of(path, scope)
        assert [(one.index, one.timestamp_s, one.note, one.breaks) for one in found] == [
            (one.index, one.timestamp_s, one.note, one.breaks) for one in expected
        ]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize(("name", "leaps"), [("h264", True), ("vp9", True), ("avi", False), ("broadcast", False)])
def test_a_file_is_entered_at_a_key_picture_where_that_is_safe(tmp_path: Path, name: str, leaps: bool) -> None:
    file, codec, options = CODECS[name]
    path = write_video(tmp_path / file, 110, codec, codec_options=options)
    with video_file.open_video(path, 3.1) as opened:
        assert (opened.first_index == 72) is leaps and (opened.first_index == 0) is not leaps


def test_a_cut_off_file_tells_so_from_a_later_start_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 110, "libx264", codec_options={"g": "12"},
                       container_options={"movflags": "faststart"})  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    with pytest.raises(SourceError, match="of the 110 frames"):
        frames_of(path, Scope(start_s=2.5))


def test_frames_are_thinned_out_by_number_or_by_their_times(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 120, 500, 510, 520, 1000, 1040, 1400]
    path = write_video(tmp_path / "a.mkv", 10, stamps_ms=stamps)
    assert [one.index for one in frames_of(path, Scope(every=3))] == [0, 3, 6, 9]
    assert [one.index for one in frames_of(path, Scope(every=3, start_s=0.1))] == [3, 6, 9]
    sampled = frames_of(path, Scope(sample_fps=4))
    assert [round(1000 * one.timestamp_s) for one in sampled] == [0, 500, 1000, 1400]
    assert len(frames_of(path, Scope(sample_fps=1000))) == 10
    (source,) = list_sources(path)
    with source.scoped(Scope(every=5)) as opened:
        assert len(list(opened)) == 2
    with source as whole:
        assert opened.info.fps == pytest.approx(whole.info.fps / 5)


def test_a_rate_is_kept_though_times_are_rounded() -> None:
    clip = np.stack([numbered(index) for index in range(60)])
    (source,) = list_sources(clip, fps=29.97)
    with source.scoped(Scope(sample_fps=9.99)) as opened:
        assert [frame.index for frame in opened] == list(range(0, 60, 3))


def test_what_a_passed_frame_told_is_not_lost(tmp_path: Path) -> None:
    images = [*(numbered(index) for index in range(5)), *(numbered(index, (64, 64)) for index in range(5))]
    (source,) = list_sources(iter(images))
    with source.scoped(Scope(every=3)) as opened:
        assert [(frame.index, frame.breaks) for frame in opened] == [(0, False), (3, False), (6, True), (9, False)]


def test_a_start_after_the_end_is_told_and_a_still_has_no_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 30)
    with pytest.raises(SourceError, match=r"between 9 s and its end; its last one before that end is at 1\.16 s"):
        frames_of(path, Scope(start_s=9))
    assert len(frames_of(numbered(0), Scope(start_s=9))) == 1


@dataclass(frozen=True)
class Box:
    box_px: tuple[float, float, float, float]


def box(x: float, y: float, side: float) -> Box:
    return Box((x, y, x + side, y + side))


def chosen(person: Any, frames: list[dict[int, Box]], step_s: float = 0.1) -> list[list[int]]:
    chooser = Chooser(Scope(person=person))
    return [list(chooser.person(faces, index * step_s, (200, 100))) for index, faces in enumerate(frames)]


def test_the_largest_is_one_person_until_another_is_clearly_larger() -> None:
    left, right = box(0, 0, 50), box(100, 0, 50)
    grown, huge = box(100, 0, 60), box(100, 0, 70)
    frames = [{0: left, 1: right}, {0: left, 1: grown}, {0: left, 1: huge}, {0: left, 1: right}]
    assert chosen("largest", frames) == [[0], [0], [1], [1]]
    assert chosen(None, frames) == [[0, 1]] * 4
    assert chosen(1, frames) == [[1]] * 4 and chosen(7, frames) == [[]] * 4


def test_who_is_away_for_a_second_stays_chosen() -> None:
    one, other = box(0, 0, 60), box(100, 0, 50)
    frames = [{0: one, 1: other}, *[{1: other}] * 3, {0: one, 1: other}, *[{1: other}] * 15]
    found = chosen("largest", frames)
    assert found[:5] == [[0], [], [], [], [0]] and found[5:15] == [[]] * 10 and found[-1] == [1]


def test_central_and_first() -> None:
    edge, middle = box(0, 0, 50), box(75, 25, 50)
    assert chosen("central", [{0: edge, 1: middle}, {0: edge}, {0: edge, 1: middle}]) == [[1], [], [1]]
    assert chosen("first", [{3: edge}, {3: edge, 4: middle}, {3: edge, 1: middle}]) == [[3]] * 3
    chooser = Chooser(Scope(person="first"))
    assert list(chooser.person({0: edge}, 0.0, (200, 100))) == [0]
    chooser.forget()
    assert list(chooser.person({2: edge, 5: middle}, 0.1, (200, 100))) == [2]


def test_a_region_holds_faces_by_their_middle() -> None:
    faces = [box(0, 0, 40), box(80, 0, 40), box(150, 50, 40)]
    assert Chooser(Scope(region=(0, 0, 110, 50))).inside(faces) == faces[:2]
    triangle = ((0, 0), (60, 0), (0, 60))
    assert Chooser(Scope(region=triangle)).inside(faces) == faces[:1]
    assert Chooser(Scope()).inside(faces) == faces
