"""A result file is whole, or says that it is not, and never takes an earlier one's place halfway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs import CsvSink, OverlaySink


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, mdhr_sdk.outputs; print({'cv2', 'matplotlib', 'pandas', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4"])
def test_the_file_appears_only_when_it_is_complete(tmp_path, frame, codes, name):
    path = tmp_path / "deep" / "er" / name
    sink = CsvSink(path, codes) if path.suffix == ".csv" else OverlaySink(path, 25)
    with sink:
        assert not path.parent.exists()
        sink.write(frame(0, size=(64, 64)))
        assert names(path.parent) == {f".{path.stem}.part{path.suffix}"}
        assert sink.final_path is None
    assert names(path.parent) == {name}
    assert sink.final_path == path and not sink.replaced


def test_a_file_tells_whether_it_stands_where_another_stood(tmp_path, frame, codes):
    replaced = []
    for complete in (True, True, False, False):
        sink = CsvSink(tmp_path / "scores.csv", codes)
        sink.write(frame(0))
        sink.close(complete)
        replaced.append(sink.replaced)
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


def test_a_later_run_replaces_the_file(tmp_path, frame, codes):
    path = tmp_path / "scores.csv"
    for count in (5, 2):
        with CsvSink(path, codes) as sink:
            for index in range(count):
                sink.write(frame(index))
    assert len(path.read_text().splitlines()) == 3


def test_a_closed_sink_takes_no_more(tmp_path, frame, codes):
    with CsvSink(tmp_path / "scores.csv", codes) as sink:
        sink.write(frame(0))
    sink.close()
    with pytest.raises(OutputError, match="open a new sink"):
        sink.write(frame(1))


@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4", "still.png"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, frame, codes, name):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / name
    sink = CsvSink(path, codes) if path.suffix == ".csv" else OverlaySink(path, 25)
    with pytest.raises(OutputError) as caught, sink:
        sink.write(frame(0, size=(64, 64)))
    assert "cannot write" in str(caught.value) and "\n" not in str(caught.value)
    assert sink.final_path is None


def test_a_folder_as_the_path_is_refused_before_any_work(tmp_path, codes):
    with pytest.raises(OutputError, match="add a name"):
        CsvSink(tmp_path, codes)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", ["scores.csv", "clip.mp4", "still.png"])
def test_a_full_disk_is_an_error_and_never_a_complete_file(tmp_path, frame, codes, name):
    path = tmp_path / name
    path.with_name(f".{path.stem}.part{path.suffix}").symlink_to("/dev/full")
    sink = CsvSink(path, codes) if path.suffix == ".csv" else OverlaySink(path, 25)
    with pytest.raises(OutputError), sink:
        for index in range(1 if name == "still.png" else 30):
            sink.write(frame(index, size=(64, 64)))
    assert not path.exists()
