"""`mdhr detect` with faces and scores that are known: names, folders, memory, cameras."""

from __future__ import annotations

import errno
import gc
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fake_streams import camera
from fakes import CONFIG, INFO, FakeMesher, FakeSession, picture, video, write_film
from mdhr_sdk import AUDetector
from mdhr_sdk.batch.outcome import Outcome
from mdhr_sdk.cli.parts.summary import report
from mdhr_sdk.cli.scoring import detect
from mdhr_sdk.errors import OutputError
from mdhr_sdk.outputs import naming
from mdhr_sdk.outputs.files import Files
from mdhr_sdk.outputs.pictures.encoder import Encoder
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import Source, list_sources
from mdhr_sdk.vision.sources.source import Kind

Run = Callable[..., tuple[list[Any], str]]
NO_OVERLAY = Files(overlay=False)


@pytest.fixture
def fake_detector(monkeypatch: pytest.MonkeyPatch) -> AUDetector:
    """Fast: finds the faces of `fakes.picture` and knows their scores."""
    monkeypatch.setattr("mdhr_sdk.detector.FaceMesher", FakeMesher)
    return AUDetector(CONFIG, FakeSession(), INFO)


@pytest.fixture
def run(fake_detector: AUDetector, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """(sources, files, folder, ...) -> what went wrong, and what was printed."""

    def call(given: Any, files: Files = NO_OVERLAY, out: Path = tmp_path, **reading: Any) -> tuple[list[Any], str]:
        sources = given if isinstance(given, list) and isinstance(given[0], Source) else list_sources(given)
        return detect.run_detect(fake_detector, sources, out, files, **reading), capsys.readouterr().out

    return call


names_that_clash = st.lists(st.sampled_from(["a", "A", "a-2", "a-2-2", "a.b", "ß", "ss"]), max_size=12)
paths = (
    st.text("aA1-_. /\\:é\0\ud800", max_size=20)
    | st.text(max_size=300)
    | st.sampled_from("aé\u4e2d").map(lambda letter: 300 * letter)
)


@given(names=names_that_clash | st.lists(paths, max_size=6))
def test_file_names_are_unique_and_usable(names: list[str]) -> None:
    found = naming.stems([(name, "video") for name in names])
    assert len(found) == len(names) == len({stem.casefold() for stem in found})
    for stem in found:
        assert re.fullmatch(r"[\w.-]+", stem) and not stem.startswith("."), stem
        assert len(f".{stem}_timeline.incomplete.png".encode()) <= 255


@pytest.mark.parametrize(
    ("names", "kind", "expected"),
    [
        (["a-2.mp4", "a.mov", "a.mp4"], "video", ["a-2", "a_mov", "a_mp4"]),
        (["x/Clip.mp4", "y/clip.mp4", "CLIP.avi"], "video", ["x_Clip", "y_clip", "CLIP"]),
        (["camera 0", "https://host/live/"], "video", ["camera_0", "live"]),
        (["x/a/v.mp4", "y/a/v.mp4", "b/v.mp4"], "video", ["x_a_v", "y_a_v", "b_v"]),
        (["../x", "..", "...", "", "/"], "video", ["x", "source", "source-2", "source-3", "source-4"]),
        (["seen/*.png"], "sequence", ["seen"]),
        (["*.png"], "sequence", ["images"]),
        (["x/a/*.png", "y/a/*.png"], "sequence", ["x_a", "y_a"]),
        (["2024.05.01/frames", "2024.05.02/frames"], "sequence", ["2024.05.01_frames", "2024.05.02_frames"]),
        (["data/run.1", "data/run.2"], "sequence", ["run.1", "run.2"]),
        (["http://10.0.0.1/video", "http://10.0.0.2/video"], "stream", ["10.0.0.1_video", "10.0.0.2_video"]),
        (["rtsp://10.0.0.1", "rtsp://10.0.0.2"], "stream", ["10.0.0.1", "10.0.0.2"]),
        (["P01/f.1.jpg", "P02/f.1.jpg"], "image", ["P01_f.1", "P02_f.1"]),
        (["/data/x/a.mov", "/data/x/a.mp4", "b.mp4"], "video", ["a_mov", "a_mp4", "b"]),
        (["x/a.mov", "x/a.mp4", "y/a.mp4"], "video", ["x_a_mov", "x_a_mp4", "y_a"]),
    ],
)
def test_file_names_hold_what_tells_sources_apart(names: list[str], kind: str, expected: list[str]) -> None:
    assert naming.stems([(name, kind) for name in names]) == expected


@pytest.mark.parametrize(
    ("source", "out", "refused"),
    [
        *((source, out, True) for source, out in [
            ("clips", "clips"), ("clips/", "./clips/../clips"), ("stills", "stills"), ("clips/*.mp4", "clips"),
            ("stills/*.png", "stills"), ("**/*.mp4", "clips"), ("clips/**/*.mp4", "clips/out"),
        ]),
        *((source, out, False) for source, out in [
            ("stills", "."), ("clips", "clips/out"), ("clips", "."), ("clips/*.mp4", "."), ("clips/a.mp4", "clips"),
            ("0", "."), ("https://host/" + "x" * 300, "."),
        ]),
    ],
)  # fmt: skip
def test_which_folders_out_may_be(
    source: str, out: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("clips/a.mp4", "clips/b.mp4", "stills/1.png", "stills/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="--out") if refused else nullcontext():
        detect.check_out([source], Path(out))


def test_a_video_without_a_frame_rate_is_no_still(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "clip.mp4", list(video([{0}] * 6)))
    monkeypatch.setattr("mdhr_sdk.vision.sources.video.rate_of", lambda track: 0.0)
    assert run(path, Files(), tmp_path / "out")[0] == []
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "clip_aus.csv", "clip_events.csv", "clip_overlay.mp4", "clip_timeline.png",
    }  # fmt: skip
    assert cv2.VideoCapture(str(tmp_path / "out" / "clip_overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 6


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each timeline, how many frames it shows. Draws nothing."""
    drawn: list[int] = []
    monkeypatch.setattr("mdhr_sdk.outputs.files.save_timeline", lambda trace, path: drawn.append(len(trace)))
    return drawn


def test_frames_are_freed_before_the_next_source(run: Run, drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    predict, alive = AUDetector.predict, []

    def count() -> int:
        return sum(type(thing) is FrameResult for thing in gc.get_objects())

    def counting(detector: AUDetector, source: Source, **options: bool) -> object:
        alive.append(count() - before)
        return predict(detector, source, **options)

    monkeypatch.setattr(AUDetector, "predict", counting)
    gc.collect()
    before = count()
    (error,), _ = run([video([{0}] * 20), breaking_off(20), video([{0, 1}] * 20)])
    assert alive == [0, 0, 0] and "kept the 20 frames" in str(error)
    assert drawn == [20] * 3


def breaking_off(frames: int) -> Iterator[object]:
    """Images, and at last something that is none."""
    yield from video([{0}] * frames)
    yield "no image"


def test_a_camera_has_all_its_frames_in_timeline_and_table(
    run: Run, drawn: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    errors, said = run([camera(video([{0, 1}, set()] * 10), "camera 0")], policy="complete")
    assert errors == [] and drawn == [20]
    table = pd.read_csv(tmp_path / "camera_0_aus.csv")
    assert list(table.frame.unique()) == list(range(20))
    row = next(line for line in said.splitlines() if "camera 0" in line)
    assert [int(word) for word in re.findall(r"\d+", row)][1:4] == [20, 10, table.track_id.nunique()]


def test_what_faces_show_is_told_as_the_table_has_it(run: Run, fake_detector: AUDetector, drawn: list[int]) -> None:
    _, said = run([video([{0}, {0, 1}, set(), {1}] * 5), video([set()] * 3)])
    told = [line for line in said.splitlines() if "share of its faces" in line]
    faces = [face for frame in fake_detector.predict(video([{0}, {0, 1}, set(), {1}] * 5)) for face in frame.faces]
    counts = {code: sum(face.aus[code].occurrence for face in faces) for code in fake_detector.codes}
    assert sum(counts.values()) > 0 and len(told) == 1 and "(20, frame by frame)" in told[0]
    shares = {code: int(share) for code, share in re.findall(r"(AU\d\d) (\d+) %", told[0])}
    assert shares == {code: round(100 * count / 20) for code, count in counts.items() if count}
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize("sequence", [True, False])
def test_images_that_were_read_as_a_video_are_told(run: Run, drawn: list[int], tmp_path: Path, sequence: bool) -> None:
    (tmp_path / "people").mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / "people" / f"S{index:03d}.png"), picture(index, {0}))
    sources = list_sources(tmp_path / "people", sequence=None if sequence else False)
    told = "people: 3 images were read as the frames of one video; --stills reads each for itself"
    assert (told in run(sources, out=tmp_path / "out")[1]) is sequence and len(sources) == (1 if sequence else 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["study/P01/video.mp4", "study/P02/video.mp4", "o.mp4", "camera 0"],
         ["P01/video.mp4", "P02/video.mp4", "o.mp4", "camera 0"]),
        (["s/P01/front/v.mp4", "s/P02/front/v.mp4"], ["P01/front/v.mp4", "P02/front/v.mp4"]),
        (["/v.mp4", "x/v.mp4", "x/*.png"], ["/v.mp4", "x/v.mp4", "*.png"]),
    ],
)  # fmt: skip
def test_sources_are_called_by_what_tells_them_apart(names: list[str], expected: list[str]) -> None:
    assert naming.labels(names) == expected


def test_a_source_without_a_face_is_told(run: Run, drawn: list[int]) -> None:
    assert "array: no face found" in run(picture(0, set()))[1]


def test_of_many_sources_the_first_are_told(run: Run, drawn: list[int]) -> None:
    _, said = run([picture(index, {0}) for index in range(13)])
    assert len(re.findall(r"^array\[\d+\]: AU\d\d", said, re.MULTILINE)) == 10 and "and 3 sources more" in said
    assert "while earlier frames" not in said  # which is how videos are read


def test_brackets_and_colons_in_names_are_printed_as_they_are(run: Run, drawn: list[int], tmp_path: Path) -> None:
    out = tmp_path / "a[" / "b]" / "[red]:smile:"
    errors, said = run(picture(0, {0}), out=out)
    assert errors == [] and f"wrote {out / 'array_aus.csv'}\n" in said
    _, again = run(picture(0, {0}), out=out)
    assert f"wrote {out / 'array_aus.csv'}, in place of an earlier one\n" in again
    assert f"wrote {out / 'array_timeline.png'}\n" in again  # drawn by a stand-in, which writes nothing


@pytest.mark.parametrize(
    ("cores", "kinds", "bundled", "threads"),
    [
        (2, ["video", "video"], True, 1),
        (2, ["video", "camera"], True, None),
        (2, ["image"], True, None),
        (8, ["video"], True, None),
        (2, ["video"], False, None),
    ],
)
def test_of_two_cores_one_finds_the_faces_of_files(
    monkeypatch: pytest.MonkeyPatch, cores: int, kinds: list[Kind], bundled: bool, threads: int | None
) -> None:
    monkeypatch.setattr(detect, "usable_cores", lambda: cores)
    assert detect.model_threads([Source(kind, kind, nullcontext) for kind in kinds], bundled) == threads


@pytest.mark.parametrize("breaks", [False, True])
def test_the_process_is_tuned_while_it_runs(run: Run, breaks: bool) -> None:
    """Short turns of threads, one thread of OpenCV, rare collections of garbage."""
    seen: list[object] = []

    def settings() -> tuple[object, ...]:
        return sys.getswitchinterval(), cv2.getNumThreads(), gc.get_threshold()

    def frames() -> Iterator[np.ndarray]:
        seen.append(settings())
        yield picture(0, {0})
        if breaks:
            raise ZeroDivisionError

    before = settings()
    errors, _ = run(frames())
    assert ["array cannot be read on: ZeroDivisionError" in str(error) for error in errors] == [True] * breaks
    assert seen == [(pytest.approx(1e-4), 1, (10_000, 20, 20))] and settings() == before


def test_an_overlay_that_fails_leaves_table_and_timeline(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, count = Encoder.write, itertools.count(1)

    def full(*item: Any, **options: Any) -> None:
        if next(count) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*item, **options)

    monkeypatch.setattr(Encoder, "write", full)
    film = write_film(tmp_path / "clip.mp4", list(video([{0}] * 30)))
    (error,), said = run([film, picture(0, {0})], Files(), tmp_path / "out")
    assert "clip_overlay.mp4' cannot be written: No space left on device" in str(error) and "\n" not in str(error)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "clip_aus.csv", "clip_events.csv", "clip_overlay.incomplete.mp4", "clip_timeline.png",
        "array_1__aus.csv", "array_1__overlay.jpg", "array_1__timeline.png",
    }  # fmt: skip
    assert len(pd.read_csv(tmp_path / "out" / "clip_aus.csv")) == 30 and "clip.mp4 (failed)" in said


def test_a_timeline_is_drawn_only_if_it_is_wanted(run: Run, tmp_path: Path) -> None:
    run(picture(0, {0}), Files(timeline=False))
    assert {path.name for path in tmp_path.iterdir()} == {"array_aus.csv", "array_overlay.jpg"}
    with pytest.raises(OutputError, match="one of h264, vp9, av1"):
        run(picture(0, {0}), Files(codec="mpeg2"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_was_lost_is_told(capsys: pytest.CaptureFixture[str], fake_detector: AUDetector) -> None:
    source = camera([], "camera 0")
    outcome = Outcome(source, "camera 0")
    frames = fake_detector.predict([picture(index, {0, 1}) for index in range(6)])
    for index, frame in enumerate(frames):
        seen = 5 + index if index < 4 else len(frame.faces)
        outcome.count(replace(frame, dropped=index, faces_seen=seen, note="damaged" if index > 3 else ""))
    with source:
        report(Console(width=200), fake_detector, [outcome])
    said = capsys.readouterr().out
    assert "camera 0: captured 21 = scored 6 + dropped 15\n" in said
    assert "camera 0: frames noted as damaged: 2\n" in said
    assert "--max-faces 2 was reached in 4 frames; up to 8 faces were found in one: raise --max-faces\n" in said
    outcome.count(replace(frames[0], faces=frames[0].faces[:1], faces_seen=9, faces_left_out=2))
    assert outcome.most_scored == 3, "one of three was chosen: --max-faces 3"


def test_of_live_sources_one_that_fails_leaves_the_others(run: Run, tmp_path: Path) -> None:
    live = camera(video([{0}] * 12), "a"), camera(video([{0}] * 5), "b", breaks=True)
    (error,), said = run([live[0], *list_sources(picture(0, {0})), live[1]], Files(), policy="complete")
    assert str(error).startswith("b stopped; kept the 5 frames before it: ")
    whole = ("aus.csv", "events.csv", "overlay.mp4", "timeline.png")
    ends = {"a": whole, "array": ("aus.csv", "overlay.jpg", "timeline.png"),
            "b": tuple(end.replace(".", ".incomplete.") for end in whole)}  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {f"{stem}_{end}" for stem in ends for end in ends[stem]}
    assert len(pd.read_csv(tmp_path / "a_aus.csv")) == 12 and len(pd.read_csv(tmp_path / "b_aus.incomplete.csv")) == 5
    assert "b (failed)" in said


def test_when_nothing_can_be_written_the_reading_ends(run: Run, tmp_path: Path) -> None:
    for name in ("array_aus.csv", "array_events.csv"):
        (tmp_path / name).mkdir()
    taken = []

    def frames() -> Iterator[np.ndarray]:
        for index in range(200):
            taken.append(index)
            yield picture(index, {0})

    errors, _ = run(frames(), Files(overlay=False, timeline=False))
    assert len(errors) == 2 and all("add a name" in str(error) for error in errors) and len(taken) < 100
