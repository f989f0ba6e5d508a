"""Long videos in parts: where parts begin and end, and that their tables are those of one run, to the byte."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.batch.study_of_files import write_clip
from commands import Command
from mdhr_sdk import Scope
from mdhr_sdk.batch import splitting
from mdhr_sdk.batch.joining import joined
from mdhr_sdk.batch.parts import Bounds, Part, check_split, parts_folder, parts_of, whole_base
from mdhr_sdk.batch.places import Folder
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.outputs.files import Files
from mdhr_sdk.outputs.naming import bases
from mdhr_sdk.results import FaceResult, FrameResult, ModelInfo
from mdhr_sdk.vision import list_sources

MODEL = ModelInfo("edge", "bp4d", "resnet18", "torch", "cpu", True)
PLAIN = Files(overlay=False, timeline=False)
RIGHT = (0.5, "stream", PLAIN, Scope(), 0.0)


def scenes(demo: Path, lengths: list[int]) -> list[np.ndarray]:
    """The clip, cut in turns to another room in which it is small and mirrored."""
    with list_sources(demo)[0] as source:
        frames = [frame.image for frame in source]
    height, width = frames[0].shape[:2]
    coarse = np.random.default_rng(0).integers(0, 256, (height // 40 + 1, width // 40 + 1, 3), np.uint8)
    room, made = coarse.repeat(40, 0).repeat(40, 1)[:height, :width], []
    for scene, length in enumerate(lengths):
        for frame in frames[7 * scene : 7 * scene + length]:
            if scene % 2:
                shown, inset = room.copy(), frame[::4, ::-4].repeat(3, 0).repeat(3, 1)
                shown[: inset.shape[0], -inset.shape[1] :] = inset
                made.append(shown)
            else:
                made.append(frame)
    return made


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_the_tables_of_parts_are_those_of_one_run(
    demo_path: Path,
    tmp_path: Path,
    command: Command,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "films").mkdir()
    write_clip(tmp_path / "films" / "cut.mp4", scenes(demo_path, [60, 45, 50, 40, 55]))
    write_clip(tmp_path / "films" / "take.mp4", scenes(demo_path, [200]))
    films = [tmp_path / "films" / name for name in ("cut.mp4", "take.mp4")]
    (tmp_path / "list.txt").write_text("".join(f"{film}\n" for film in films))
    words = ("batch", tmp_path / "list.txt", "--mode", "stream", "--no-overlay", "--no-timeline", "--quiet")
    assert command(app, *words, "--out", tmp_path / "one", "--jobs", 1)[0] == 0
    loud = (*words[:-1], "--jobs", 2, "--split", 0.05)
    split = (*loud, "--out", tmp_path / "parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "joined", stopped)
        assert command(app, *split)[0] == 130
    left = {path.name for path in (tmp_path / "parts").iterdir() if path.is_dir()}
    assert ".cut.parts" in left and all(name.startswith(".") for name in left), "reports pass over them"
    code, told, _ = command(app, *split, "--resume")
    assert code == 0
    assert told.splitlines()[0].split() == ["mdhr", "batch"]
    assert "cut.mp4, share of its faces (250, frame by frame)" in told, "also of parts that an earlier run has read"
    names = ("cut_aus.csv", "cut_events.csv", "take_aus.csv", "take_events.csv")
    for name in names:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name
    ids = {line.split(",")[5] for line in (tmp_path / "one" / "cut_aus.csv").read_text().splitlines()[1:]}
    assert len(ids - {""}) == 5, "a track a scene"
    assert not [path for path in (tmp_path / "parts").iterdir() if path.is_dir()], "the parts are gone"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*_*.*")}
    assert command(app, *split, "--resume", "--quiet") == (0, "", "")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()), "what is done is passed over"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (0, 0.0, "MINUTES above 0; got 0"), (0, math.nan, "MINUTES above 0; got nan"), (1, "clip", "--mode stream"),
        (2, Files(overlay=False), "--no-timeline"), (2, replace(PLAIN, formats=("native", "jsonl")), "--format native"),
        (3, Scope(every=2), "leave out --start"), (3, Scope(person="first"), "leave out --person"),
        (3, Scope(reidentify=True), "takes --region alone"),
        (4, 0.5, "--min-quality hides"),
    ],
)  # fmt: skip
def test_what_parts_could_not_tell_as_one_run_is_refused(place: int, value: object, said: str) -> None:
    check_split(*RIGHT)
    wrong = [*RIGHT[:place], value, *RIGHT[place + 1 :]]
    with pytest.raises(ConfigError, match=said):
        check_split(*wrong)


def test_short_videos_and_pictures_have_no_parts(demo_path: Path) -> None:
    (source,) = list_sources(demo_path)
    with source as opened:
        length_s = opened.info.frame_count / opened.info.fps
    assert parts_of(source, length_s / 60) == []
    parts = parts_of(source, length_s / 180)
    assert [part.number for part in parts] == [0, 1, 2] and parts[2].end_s == math.inf
    scopes = [part.scope_of(Scope(region=(0, 0, 9, 9))) for part in parts]
    assert {scope.region for scope in scopes} == {(0, 0, 9, 9)}, "a region holds for all parts"
    assert scopes[0].start_s == 0 and scopes[1].start_s == pytest.approx(parts[1].start_s - 2)
    assert [round(part.start_s / length_s, 2) for part in parts] == [0, 0.33, 0.67]


def test_parts_lie_where_no_other_source_has_its_results() -> None:
    for base, folder in (("a", ".a.parts"), ("P01/a", "P01/.a.parts"), ("a.parts/b", "a.parts/.b.parts")):
        assert (parts_folder(base), whole_base(f"{folder}/0003")) == (folder, base)
    sources = [(f"study/{name}", "video") for name in ("a.mp4", "a.parts/0000.mp4", ".b.parts/0000.mp4")]
    assert bases(sources, ["study"]) == ["a", "a.parts/0000", "b.parts/0000"]


@pytest.fixture
def filmed() -> Callable[..., FrameResult]:
    """(index, scene, faces) -> a result with a picture, at 10 frames a second."""
    pictures = np.random.default_rng(1).integers(0, 256, (4, 18, 32, 3), np.uint8).repeat(4, 1).repeat(4, 2)

    def make(index: int, scene: int, faces: int = 1) -> FrameResult:
        found = [FaceResult(one, (0, 0, 9, 9), np.empty((0, 3), np.float32), {}) for one in range(faces)]
        return FrameResult("a.mp4", index, index / 10, tuple(found), MODEL, image=pictures[scene])

    return make


def test_a_part_lies_between_safe_cuts(filmed: Callable[..., FrameResult]) -> None:
    bounds = Bounds(Part(1, 3, 1.0, 3.0))
    scene = [0] * 8 + [1] * 10 + [2] * 13 + [3] * 40  # cuts at 0.8, 1.8 and 3.1 s
    taken = [index for index, number in enumerate(scene) if not bounds.over and bounds.takes(filmed(index, number))]
    assert (bounds.begin, bounds.end, bounds.over) == (18, 31, True)
    assert taken == list(range(18, 52)), "and two seconds more, for scores and events that come later"


def test_a_cut_is_not_safe_without_a_face_or_while_a_lost_face_could_return(
    filmed: Callable[..., FrameResult],
) -> None:
    for faces, begin in (([1] * 11 + [0] * 5, None), ([2] * 6 + [1] * 10, None), ([2] + [1] * 15, 11)):
        bounds = Bounds(Part(1, 2, 0.5, math.inf))
        for index, count in enumerate(faces):
            bounds.takes(filmed(index, int(index >= 11), count))
        assert bounds.begin == begin and bounds.end is None
    bounds = Bounds(Part(1, 3, 0.5, 1.0))
    taken = [bounds.takes(filmed(index, 0)) for index in range(11)]
    assert not any(taken) and bounds.over, "no cut in its time"


def pieces(folder: Path, *parts: tuple[int | None, int | None, str, str]) -> list[str]:
    for number, (begin, end, rows, events) in enumerate(parts):
        (folder / f"{number}_part.json").write_text(json.dumps({"begin": begin, "end": end, "counts": {"scored": 1}}))
        (folder / f"{number}_aus.csv").write_text("frame,track_id,score\r\n" + rows.replace("\n", "\r\n"))
        (folder / f"{number}_events.csv").write_text("track_id,onset_frame\r\n" + events.replace("\n", "\r\n"))
    return [str(number) for number in range(len(parts))]


def test_numbers_of_tracks_go_on_and_rows_beyond_a_part_are_left_out(tmp_path: Path) -> None:
    names = pieces(
        tmp_path,
        (0, 2, "0,0,a\n1,,\n2,1,b\n2,2,c\n3,1,d\n", "0,0\n1,2\n"),
        (None, None, "", ""),
        (2, None, "2,4,b\n2,5,c\n3,4,d\n", "4,3\n"),
    )
    tables = joined(Folder(tmp_path), names)
    assert not isinstance(tables, str)
    assert tables.texts["_aus.csv"].split() == ["frame,track_id,score", "0,0,a", "1,,", "2,1,b", "2,2,c", "3,1,d"]
    assert tables.texts["_events.csv"].split() == ["track_id,onset_frame", "0,0", "1,3"]
    assert (tables.frames, tables.with_face, tables.tracks) == (4, 3, {0, 1, 2})
    assert tables.counts == ({"scored": 1}, {"scored": 1}), "of the parts that have frames"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ((3, None, "3,0,d\n", ""), "ends at frame 2, and the next one begins at 3"),
        ((2, None, "2,0,x\n", ""), "read frame 2 differently"),
        ((2, None, "2,0,b\n2,1,b\n", ""), "read frame 2 differently"),
        ((None, None, "", ""), "no part goes to its end"),
    ],
)
def test_parts_that_do_not_fit_are_told(
    second: tuple[int | None, int | None, str, str], said: str, tmp_path: Path
) -> None:
    names = pieces(tmp_path, (0, 2, "0,0,a\n2,1,b\n", ""), second)
    told = joined(Folder(tmp_path), names)
    assert isinstance(told, str) and said in told


@pytest.mark.parametrize(
    ("name", "content"),
    [("0_part.json", "[" * 100_000), ("0_part.json", "[]"), ("0_aus.csv", "frame,track_id\r\nx,y\r\n")],
)
def test_parts_that_somebody_has_changed_are_told(name: str, content: str, tmp_path: Path) -> None:
    names = pieces(tmp_path, (0, 2, "0,0,a\n2,1,b\n", ""), (2, None, "2,1,b\n", ""))
    (tmp_path / name).write_text(content)
    told = joined(Folder(tmp_path), names)
    assert isinstance(told, str) and told.startswith("the tables of a part cannot be read: ")
