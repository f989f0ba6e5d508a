"""Recordings in segments: each plays, with the pictures of its time, and old ones go."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import pytest

from mdhr_sdk.outputs.live.queued import LostError
from mdhr_sdk.outputs.live.recording import Keep, SegmentSink, pictures, tidy
from mdhr_sdk.results import FrameResult

Made = Callable[..., FrameResult]
NOON = datetime(2026, 11, 30, 12, 0, 0, tzinfo=timezone.utc)


@pytest.fixture
def at(frame: Made) -> Made:
    """A frame with a picture, at a time of the source."""

    def make(index: int, fps: float = 10.0, size: tuple[int, int] = (64, 64), since_s: float = 0.0) -> FrameResult:
        time_s = since_s + index / fps
        return replace(
            frame(index, size=size), timestamp_s=time_s, captured_at=NOON + timedelta(seconds=time_s), fps=fps
        )

    return make


def times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [round(float(one.time or 0), 2) for one in file.decode(video=0)]


def test_segments_are_named_by_their_first_picture_and_play(at: Made, tmp_path: Path) -> None:
    with SegmentSink(tmp_path / "door", segment_s=2.0) as sink:
        for index in range(45):
            sink.write(at(index))
        assert [path.name for path in tmp_path.glob("*.open.mp4")] == ["door_20261130T120004Z.open.mp4"]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"door_20261130T12000{second}Z.mp4" for second in (0, 2, 4)] and sink.segments == 3
    assert [len(times(tmp_path / name)) for name in names] == [20, 20, 5]


def test_an_open_segment_plays_at_any_age(at: Made, tmp_path: Path) -> None:
    """What a killed process leaves after each picture: at most 0.2 s and two pictures are missing."""
    sink, copy = SegmentSink(tmp_path / "door").__enter__(), tmp_path / "copy.mp4"
    for index in range(60):
        sink.write(at(index, fps=25.0, since_s=600.0))
        (path,) = tmp_path.glob("*.open.mp4")
        copy.write_bytes(path.read_bytes())
        assert pictures(copy) >= index + 1 - 0.2 * 25 - 2, "the first ones, too"
    assert times(copy)[0] == 0.0 and times(copy)[-1] >= 59 / 25 - 0.3, "not those of the source"
    sink.__exit__(None, None, None)
    with av.open(str(tmp_path / "door_20261130T121000Z.mp4")) as file:
        assert file.metadata["comment"] == "captured_at 2026-11-30T12:10:00.000Z, timestamp_s 600.000000"


def test_gaps_sizes_and_the_switch_begin_a_new_segment(at: Made, tmp_path: Path) -> None:
    with SegmentSink(tmp_path / "door") as sink:
        sink.write(at(0))
        sink.write(at(1, since_s=60.0))  # a gap
        sink.write(at(2, since_s=60.0, size=(32, 96)))
        sink.write(replace(at(3, since_s=60.0), stale=True))
        sink.on = False
        sink.write(at(4, since_s=60.0))
        sink.on = True
        sink.write(at(5, since_s=60.0))
    assert sink.segments == 4
    assert sum(len(times(path)) for path in tmp_path.glob("*.mp4")) == 4, "not the stale one, nor while it was off"


def test_an_error_keeps_what_was_recorded(at: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mdhr_sdk.outputs.pictures.encoder import Encoder

    write, left = Encoder.write, [15]

    def failing(self: Encoder, *arguments: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "write", failing)
    with SegmentSink(tmp_path / "door") as sink:
        for index in range(14):
            sink.write(at(index))
        with pytest.raises(LostError, match="No space") as error:
            sink.write(at(14))
        sink.write(at(14))
    assert error.value.count == 0, "nothing that was recorded is lost"
    assert len(times(tmp_path / "door_20261130T120000Z.incomplete.mp4")) == 14
    assert len(times(tmp_path / "door_20261130T120001Z.mp4")) == 1


def test_pictures_of_a_segment_that_cannot_be_finished_count_as_lost(at: Made, tmp_path: Path) -> None:
    """A full disk takes what was not written yet of a segment; the count says how many pictures."""
    sink = SegmentSink(tmp_path / "door").__enter__()
    for index in range(35):
        sink.write(at(index))
    (path,) = tmp_path.glob("*.open.mp4")
    os.truncate(path, path.stat().st_size // 2)
    left = pictures(path)
    path.rename(tmp_path / "door_20261130T120000Z.incomplete.mp4")  # what `rescue` leaves
    path.touch()
    assert 0 < left < 35 and pictures(tmp_path / "nothing.mp4") == 0
    sink._video.close = lambda: (_ for _ in ()).throw(OSError(28, "No space left on device"))  # type: ignore
    with pytest.raises(LostError) as error:
        sink.__exit__(None, None, None)
    assert error.value.count == 35 and not path.exists()


def test_old_and_too_many_recordings_go(tmp_path: Path) -> None:
    base, now = tmp_path / "door", datetime.now().timestamp()
    for day in range(1, 6):
        path = tmp_path / f"door_2026110{day}T000000Z.mp4"
        path.write_bytes(bytes(100))
        os.utime(path, (now - 86400 * (6 - day), now - 86400 * (6 - day)))
    others = ["door_notes.mp4", "door_20261101T000000Z.open.mp4", "doors_20261101T000000Z.mp4", "door_aus.csv"]
    for name in others:
        (tmp_path / name).write_bytes(bytes(100))
    tidy(base, Keep())
    tidy(base, Keep(age_s=4.5 * 86400))
    assert sorted(path.name[:13] for path in tmp_path.glob("door_2*Z.mp4")) == [
        f"door_2026110{d}" for d in (2, 3, 4, 5)
    ]
    tidy(base, Keep(size_bytes=250))
    assert sorted(path.name[:13] for path in tmp_path.glob("door_2*Z.mp4")) == ["door_20261104", "door_20261105"]
    assert all((tmp_path / name).exists() for name in others)


def test_a_clock_that_is_set_removes_nothing_new(at: Made, tmp_path: Path) -> None:
    """A machine without a clock of its own records in 1970 until the network tells it the time."""
    old = datetime(1970, 1, 1, tzinfo=timezone.utc)
    with SegmentSink(tmp_path / "door", segment_s=1.0, keep=Keep(age_s=3600.0)) as sink:
        for index in range(45):
            result = at(index)
            sink.write(result if index > 25 else replace(result, captured_at=old + timedelta(seconds=index)))
            for path in tmp_path.glob("door_1970*Z.mp4"):
                os.utime(path, (0, 0))  # as if it had been written then
    assert len([*tmp_path.glob("door_*.mp4")]) == sink.segments == 5
    before = {path: path.stat().st_size for path in tmp_path.iterdir()}
    closed = {path.name: float(number) for number, path in enumerate(sorted(before, reverse=True))}
    tidy(tmp_path / "door", Keep(size_bytes=max(before.values())), closed)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("door_1970"), "the one that was closed last, whatever its name says"


def test_a_recording_that_cannot_be_looked_at_stays(at: Made, tmp_path: Path) -> None:
    """Where the process has no more file handles, nobody knows whether a segment holds pictures."""
    resource = pytest.importorskip("resource")
    sink = SegmentSink(tmp_path / "door").__enter__()
    for index in range(30):
        sink.write(at(index))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        lost = sink._broken_off()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    (left,) = tmp_path.glob("*.open.mp4")
    assert lost == 30 and pictures(left) == 30
