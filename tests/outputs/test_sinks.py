"""A result file is whole, or says that it is not, and never takes an earlier one's place halfway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from mdhr_sdk.atomic import LOCK, RESULTS, incomplete
from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs import CsvSink, OverlaySink
from mdhr_sdk.results import FrameResult

CODES = label_set("bp4d").codes


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def sink_of(path: Path) -> CsvSink | OverlaySink:
    return CsvSink(path, CODES) if path.suffix == ".csv" else OverlaySink(path)


def written(path: Path, result: FrameResult, complete: bool = True) -> CsvSink | OverlaySink:
    sink = sink_of(path)
    sink.write(result)
    sink.close(complete)
    return sink


@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4"])
def test_the_file_appears_only_when_it_is_complete(tmp_path, frame, name):
    path = tmp_path / "deep" / "er" / name
    with sink_of(path) as sink:
        assert not path.parent.exists()
        sink.write(frame(0, size=(64, 64)))
        (place,) = path.parent.iterdir()
        assert place.name.startswith(RESULTS) and names(place) == {LOCK, name}
        assert sink.final_path is None
    assert names(path.parent) == {name}
    assert sink.final_path == path and not sink.replaced


def test_a_file_tells_whether_it_stands_where_another_stood(tmp_path, frame):
    runs = (True, True, False, False)
    replaced = [written(tmp_path / "scores.csv", frame(0), complete).replaced for complete in runs]
    assert replaced == [False, True, False, True]  # an incomplete file stands beside a complete one


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_keeps_what_was_written_beside_the_earlier_file(tmp_path, frame, codes, error):
    path = tmp_path / "scores.v1.csv"
    path.write_text("earlier")
    with pytest.raises(error), CsvSink(path, codes) as sink:
        sink.write(frame(0))
        raise error
    assert names(tmp_path) == {"scores.v1.csv", "scores.v1.incomplete.csv"}
    assert path.read_text() == "earlier"
    assert sink.final_path == tmp_path / "scores.v1.incomplete.csv"
    assert len(sink.final_path.read_text().splitlines()) == 2


def test_frames_of_a_source_that_broke_off_are_a_file_that_says_so(tmp_path, frame, codes):
    """Also where nothing was raised, since sources that fail are skipped; it is known after the last frame."""
    with CsvSink(tmp_path / "scores.csv", codes) as sink:
        for result in (frame(0, source="whole.mp4"), last := frame(1)):
            sink.write(result)
        last.ending.broken_off = True
    assert names(tmp_path) == {"scores.incomplete.csv"} and rows(sink.final_path) == 2


def test_an_exception_before_the_first_frame_leaves_nothing(tmp_path, codes):
    with pytest.raises(ValueError), CsvSink(tmp_path / "new" / "scores.csv", codes) as sink:
        raise ValueError
    assert sink.final_path is None
    assert names(tmp_path) == set()


def test_no_frame_leaves_nothing_and_keeps_an_earlier_file(tmp_path, codes):
    path = tmp_path / "scores.csv"
    path.write_text("earlier")
    with CsvSink(path, codes) as sink:
        pass
    assert sink.final_path is None
    assert path.read_text() == "earlier"


def test_a_bad_first_result_leaves_no_trace(tmp_path, frame):
    with pytest.raises(InputError, match="keep images"), OverlaySink(tmp_path / "new" / "clip.mp4", 25) as sink:
        sink.write(frame(0))
    assert names(tmp_path) == set()


def test_a_closed_sink_takes_no_more(tmp_path, frame):
    sink = written(tmp_path / "scores.csv", frame(0))
    sink.close()
    with pytest.raises(OutputError, match="open a new sink"):
        sink.write(frame(1))


@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4", "still.png"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, frame, name):
    (tmp_path / "file").write_text("in the way")
    sink = sink_of(tmp_path / "file" / name)
    with pytest.raises(OutputError) as caught, sink:
        sink.write(frame(0, size=(64, 64)))
    assert "cannot be written" in str(caught.value) and "\n" not in str(caught.value)
    assert sink.final_path is None


def test_a_folder_as_the_path_is_refused_before_any_work(tmp_path, codes):
    with pytest.raises(OutputError, match="add a name"):
        CsvSink(tmp_path, codes)


@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4"])
@pytest.mark.parametrize("complete", [True, False])
def test_two_writers_of_one_name_do_not_meet(tmp_path, frame, name, complete):
    """In turns, frame by frame; each file is whole and its own, and the last one to end stays."""
    path, lengths = tmp_path / name, (3, 30)
    sinks = [sink_of(path) for _ in lengths]
    for index in range(30):
        for sink, length in zip(sinks, lengths, strict=True):
            if index < length:
                sink.write(frame(index, size=(64, 64)))
    for sink, length in zip(sinks, lengths, strict=True):
        sink.close(complete)
        assert sink.final_path == (path if complete else incomplete(path))
        assert names(tmp_path) >= {sink.final_path.name} and rows(sink.final_path) == length
    assert len(names(tmp_path)) == 1


def rows(path: Path) -> int:
    if path.suffix == ".csv":
        return len(path.read_text().splitlines()) - 1
    with av.open(str(path)) as video:
        return len(list(video.decode(video=0)))


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path, frame):
    other, path = tmp_path / "other.csv", tmp_path / "scores.csv"
    other.write_text("mine")
    for name in (path.name, ".scores.part.csv", "scores.incomplete.csv"):
        (tmp_path / name).symlink_to(other)
    for complete in (True, False):
        final = written(path, frame(0), complete).final_path
        assert not final.is_symlink() and rows(final) == 1
    assert other.read_text() == "mine" and (tmp_path / ".scores.part.csv").is_symlink()


def test_names_of_255_bytes_can_be_written_and_kept_incomplete(tmp_path, frame):
    for stem in ("x" * 251, "\u4e2d" * 83, "a: b%d?#"):
        for complete in (True, False):
            final = written(tmp_path / f"{stem}.csv", frame(0), complete).final_path
            assert final.exists() and len(final.name.encode()) <= 255
        assert final.name.endswith(".incomplete.csv")
    assert rows(written(tmp_path / "http:b%03d.mp4", frame(0, size=(64, 64))).final_path) == 1


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from conftest import CODES, make_frame
from mdhr_sdk.errors import OutputError
from mdhr_sdk.outputs import CsvSink, OverlaySink, SinkGroup
path = sys.argv[1]
sink = CsvSink(path, CODES) if path.endswith(".csv") else OverlaySink(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    with sink:
        for index in range(1 if path.endswith(".png") else 100):
            sink.write(make_frame(index, size=(240, 320)))
except OutputError as error:
    print(error)
    print(sink.final_path and sink.final_path.name)
"""


@pytest.mark.parametrize("room", [0, 700, 9000])
@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4", "clip.mkv", "still.png"])
def test_a_full_disk_is_one_line_and_never_a_complete_file(tmp_path, name, room):
    """A process may write files of some bytes only, and is refused more as by a full disk."""
    words = [sys.executable, "-c", FULL, str(tmp_path / name), str(Path(__file__).parent), str(room)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    if name == "still.png" and room == 9000:
        return
    said, kept = done.stdout.splitlines()
    assert f"{name}' cannot be written: File too large; choose a folder with" in said
    assert names(tmp_path) == set() if kept == "None" else {kept}
    assert ".incomplete." in kept or kept == "None"


def test_a_device_or_a_folder_is_never_replaced(tmp_path, frame, codes):
    sink = CsvSink(tmp_path / "scores.csv", codes)
    sink.write(frame(0))
    os.mkfifo(tmp_path / "scores.csv")
    with pytest.raises(OutputError, match="something that is no file has this name"):
        sink.close()
    assert (tmp_path / "scores.csv").is_fifo() and rows(tmp_path / "scores.incomplete.csv") == 1
