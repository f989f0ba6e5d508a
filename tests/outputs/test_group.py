"""Several outputs of one run: one that fails keeps what it has, and the others go on."""

from __future__ import annotations

import pytest

from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs import CsvSink, OverlaySink, SinkGroup
from mdhr_sdk.outputs.files import Files, SourceFiles


class Breaks:
    """A sink that fails at a certain frame, when it is entered (-1) or when it is left."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.at, self.error, self.calls = at, error, []

    def write(self, result) -> None:
        self.calls.append(result.index)
        if result.index == self.at:
            raise self.error

    def __enter__(self):
        if self.at == -1:
            raise self.error
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.calls.append(kind)
        if self.at > 100:
            raise self.error


def table_rows(path) -> int:
    return len(path.read_text().splitlines()) - 1


@pytest.mark.parametrize("at", [-1, 0, 3, 101])
@pytest.mark.parametrize("error", [OutputError("the disk is full"), ValueError("a bug")])
def test_the_others_go_on_and_the_error_comes_at_the_end(tmp_path, frame, codes, at, error):
    broken, table = Breaks(at, error), CsvSink(tmp_path / "scores.csv", codes)
    with (
        pytest.raises(OutputError, match=r"the disk is full|Breaks failed: ValueError"),
        SinkGroup(broken, table) as group,
    ):
        for index in range(10):
            group.write(frame(index))
    assert table.final_path == tmp_path / "scores.csv" and table_rows(table.final_path) == 10
    assert len(group.failures) == 1
    left = {-1: [], 101: [*range(10), None]}.get(at, [*range(at + 1), OutputError])
    assert broken.calls == left


def test_what_the_one_that_failed_had_is_kept(tmp_path, frame, codes):
    video, table = OverlaySink(tmp_path / "clip.mp4"), CsvSink(tmp_path / "scores.csv", codes)
    with pytest.raises(InputError, match="keep images"), SinkGroup(video, table) as group:
        for index in range(10):
            group.write(frame(index, size=(64, 64) if index < 5 else None))
    assert {path.name for path in tmp_path.iterdir()} == {"clip.incomplete.mp4", "scores.csv"}
    assert table_rows(tmp_path / "scores.csv") == 10


def test_when_none_is_left_it_ends_at_once(frame):
    first, second = Breaks(2, OutputError("one")), Breaks(4, OutputError("two"))
    with pytest.raises(OutputError, match="one"), SinkGroup(first, second) as group:
        for index in range(10):
            group.write(frame(index))
    assert [str(error) for error in group.failures] == ["one", "two"] and second.calls == [0, 1, 2, 3, 4, OutputError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError])
def test_an_error_of_the_block_reaches_every_sink(tmp_path, frame, codes, error):
    broken, table = Breaks(101, KeyboardInterrupt()), CsvSink(tmp_path / "scores.csv", codes)
    with pytest.raises((KeyboardInterrupt, OutputError)), SinkGroup(table, broken) as group:
        group.write(frame(0))
        raise error
    assert table.final_path == tmp_path / "scores.incomplete.csv"


def test_a_sink_that_cannot_be_made_is_one_that_failed(tmp_path, frame, codes):
    with pytest.raises(OutputError, match="add a name"), SinkGroup() as group:
        assert group.add(lambda: CsvSink(tmp_path, codes)) is None
        table = group.add(lambda: CsvSink(tmp_path / "scores.csv", codes))
        group.write(frame(0))
    assert table.final_path == tmp_path / "scores.csv"


def test_a_timeline_that_fails_in_any_way_leaves_the_table(tmp_path, frame, codes, monkeypatch):
    def failing(*_: object) -> None:
        raise TypeError("no such glyph")

    monkeypatch.setattr("mdhr_sdk.outputs.files.save_timeline", failing)
    files = SourceFiles(tmp_path / "a", codes, Files(overlay=False), 25.0, still=False)
    files.write(frame(0))
    files.close(complete=True)
    files.draw(complete=True)
    assert [path.name for path in files.paths] == ["a_aus.csv", "a_events.csv"]
    assert [str(failure) for failure in files.failures] == ["the timeline failed: TypeError('no such glyph')"]
