"""Files that grow: whole to the last line at any moment, and never mixed with those of an earlier run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from mdhr_sdk.errors import ConfigError, OutputError
from mdhr_sdk.outputs.live import append
from mdhr_sdk.outputs.live.append import AppendFile
from mdhr_sdk.outputs.live.lines import LinesSink
from mdhr_sdk.outputs.live.queued import LostError
from mdhr_sdk.outputs.live.run_folder import RUN, live_folder
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.results import AUEvent, Ending, FrameResult
from processes import run_python
from tables import csv_rows

Made = Callable[..., FrameResult]
NOON = datetime(2026, 11, 30, 12, 0, 0, 123456, timezone.utc)
EVENT = AUEvent("clip.mp4", 0, "AU12", 3, 5, 8, 0.12, 0.2, 0.32, 0.91)


def test_rows_are_there_as_soon_as_they_are_written(frame: Made, codes: tuple[str, ...], tmp_path: Path) -> None:
    ending = Ending()
    with LiveTables(tmp_path / "door", codes) as sink:
        for index in range(3):
            sink.write(replace(frame(index, faces=index), captured_at=NOON, delay_ms=21.5, dropped=1, ending=ending))
            assert len(csv_rows(tmp_path / "door_aus.csv")) == (1, 2, 4)[index]
        sink.write(replace(frame(3), captured_at=NOON, events=(EVENT,), ending=ending))
        assert [one["au"] for one in csv_rows(tmp_path / "door_events.csv")] == ["AU12"]
        ending.events = (replace(EVENT, au="AU06", offset_cut=True),)
    table, events = csv_rows(tmp_path / "door_aus.csv"), csv_rows(tmp_path / "door_events.csv")
    assert [one["status"] for one in table] == ["no_face", "ok", "ok", "ok", "ok"]
    assert table[0]["captured_at"] == "2026-11-30T12:00:00.123Z" and table[0]["delay_ms"] == "21.5"
    assert table[0]["dropped"] == "1" and table[1]["AU12_probability"]
    assert [one["au"] for one in events] == ["AU12", "AU06"]


def test_a_stale_frame_is_a_row_of_its_own_status(frame: Made, codes: tuple[str, ...], tmp_path: Path) -> None:
    with LiveTables(tmp_path / "door", codes) as sink:
        sink.write(replace(frame(0, faces=0), captured_at=NOON, stale=True))
    assert [one["status"] for one in csv_rows(tmp_path / "door_aus.csv")] == ["stale"]


def test_an_earlier_file_is_set_aside_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n3,")
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    file = AppendFile(path, b"c,d\n")
    file.close()
    file.close()
    assert path.read_bytes() == b"c,d\n" and (tmp_path / "a.20261130T120000Z.csv").read_bytes() == b"a,b\n1,2\n3,"
    assert "10 bytes, its last line is cut off" in caplog.text
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    AppendFile(path).close()
    assert (tmp_path / "a.20261130T120000Z-2.csv").read_bytes() == b"c,d\n", "no earlier file is overwritten"


def test_a_file_that_another_run_writes_is_left_to_it(tmp_path: Path) -> None:
    first = AppendFile(tmp_path / "all.jsonl")
    with pytest.raises(OutputError, match="another program writes"):
        AppendFile(tmp_path / "all.jsonl")
    first.add(b"{}\n")
    first.close()
    AppendFile(tmp_path / "all.jsonl").close()
    assert sorted(path.stat().st_size for path in tmp_path.iterdir()) == [0, 3], "the first one is set aside now"


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, real = AppendFile(tmp_path / "a.csv", b"head\n"), os.write

    def half(number: int, data: bytes) -> int:
        if len(data) <= 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(number, data[:4])

    file.add(b"one\n")
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OutputError, match="No space left"):
        file.add(b"two two\n")
    monkeypatch.undo()
    assert (tmp_path / "a.csv").read_bytes() == b"head\none\n"
    file.add(b"three\n")
    file.close()
    assert (tmp_path / "a.csv").read_bytes() == b"head\none\nthree\n"


def test_a_file_that_is_removed_or_renamed_goes_on_in_a_new_one_and_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(append, "SETTLE_S", 0.0)
    path = tmp_path / "out" / "a.csv"
    file = AppendFile(path, b"head\n")
    file.add(b"one\n")
    path.rename(tmp_path / "moved.csv")
    file.add(b"two\n")
    assert (tmp_path / "moved.csv").read_bytes() == b"head\none\n" and "was removed or renamed while" in caplog.text
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"")  # in the way
    with pytest.raises(OutputError):
        file.add(b"three\n")
    path.parent.unlink()
    with pytest.raises(LostError, match=r"a\.csv' was removed while it was written, and 1 result with it") as caught:
        file.add(b"three\n")
    assert caught.value.count == 1
    file.add(b"three\n")
    assert path.read_bytes() == b"head\nthree\n"
    path.unlink()
    with pytest.raises(LostError, match="and 1 result with it"):
        file.close()
    file.close()


FULL_DISK = """
import csv, resource, sys
from pathlib import Path
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.outputs.live.tables import LiveTables
from mdhr_sdk.results import FrameResult, ModelInfo
from processes import until

model = ModelInfo("demo", "bp4d", "resnet18", "torch", "cpu", True)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
table = Path(sys.argv[1], "door_aus.csv")
with QueuedSink(LiveTables(table.with_name("door"), ()), "door") as sink:
    for index in range(100):
        sink.write(FrameResult("door", index, index / 25, (), model))
    until(lambda: sink.status.state == "failing", 30)
    text = table.read_text()
    assert text.endswith("\\n") and len(text) <= 2000, text
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    until(lambda: sink.status.waiting == 0, 30)
rows = [int(row["frame"]) for row in csv.DictReader(table.open())]
assert rows == list(range(100)), rows
print(sink.status.written, sink.status.dropped)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit for a file's size")
def test_a_real_refusal_of_the_system_loses_no_row(tmp_path: Path) -> None:
    done = run_python("-c", FULL_DISK, tmp_path)
    assert done.returncode == 0 and done.stdout.split() == ["100", "0"], done.stderr


def test_rows_are_not_doubled_when_only_the_events_fail(
    frame: Made, codes: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, fails = AppendFile.add, [True]

    def failing(self: AppendFile, lines: bytes, results: int = 1) -> None:
        if fails and self.path.name.endswith("_events.csv"):
            fails.pop()
            raise OutputError("full")
        add(self, lines, results)

    with LiveTables(tmp_path / "door", codes) as sink:
        monkeypatch.setattr(AppendFile, "add", failing)
        result = replace(frame(0), events=(EVENT,))
        with pytest.raises(OutputError):
            sink.write(result)
        sink.write(result)
    assert len(csv_rows(tmp_path / "door_aus.csv")) == len(csv_rows(tmp_path / "door_events.csv")) == 1


@pytest.mark.parametrize(
    "address", ["ftp://a:1", "tcp://", "tcp://a", "udp://a:99999999", "tcp://a:1/x", "tcp://u:secret@a:1"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"expected|go to|no login") as error:
        LinesSink(address)
    assert "secret" not in str(error.value)


def test_a_file_of_lines_ends_with_the_end_of_each_source(frame: Made, tmp_path: Path) -> None:
    endings = Ending(), Ending(events=(EVENT,))
    with LinesSink(str(tmp_path / "sub" / "a.jsonl")) as sink:
        for index in range(4):
            sink.write(replace(frame(index, source="ab"[index % 2]), ending=endings[index % 2]))
    told = [json.loads(line) for line in (tmp_path / "sub" / "a.jsonl").read_text().splitlines()]
    assert [one["status"] for one in told] == ["ok"] * 4 + ["ended"] * 2
    assert [one["source"] for one in told] == ["a", "b", "a", "b", "a", "b"] and told[-1]["events"] == [EVENT.row()]


def test_the_folder_is_for_one_run_and_tells_of_a_killed_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with live_folder(out) as run:
        assert run.found == []
        run.begin(["door"])
        with pytest.raises(OutputError, match="another mdhr live"), live_folder(out):
            pass
        run.end({"counts": {}})
    with live_folder(out) as run:
        assert run.found == [], "the run before ended well"
        run.begin(["door"])
    (out / "door_20261130T120000Z.open.mp4").write_bytes(b"something")
    (out / "empty_20261130T120000Z.open.mp4").write_bytes(b"")
    with live_folder(out) as run:
        assert len(run.found) == 3 and "was killed, or" in run.found[0] and "held nothing" in run.found[2]
        assert (out / "door_20261130T120000Z.incomplete.mp4").exists() and "too short to play" in run.found[1]
        assert not list(out.glob("*.open.mp4"))


@pytest.mark.parametrize("content", ["", "[]", "{" * 100, "\x00"])
def test_a_run_file_that_is_damaged_is_that_of_a_killed_run(tmp_path: Path, content: str) -> None:
    (tmp_path / RUN).write_text(content)
    with live_folder(tmp_path) as run:
        assert len(run.found) == 1 and "unknown time" in run.found[0]
