"""A sink behind a queue: it never holds up the writer, and what it never got is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mdhr_sdk.errors import OutputError
from mdhr_sdk.outputs.live import queued
from mdhr_sdk.outputs.live.queued import GoneError, LiveSinks, LostError, QueuedSink
from mdhr_sdk.results import FrameResult
from processes import until

Made = Callable[..., FrameResult]


class Kept:
    """Keeps indices; `fails` says what a write does before that."""

    def __init__(self, fails: Callable[[FrameResult], object] = lambda result: None) -> None:
        self.indices: list[int] = []
        self.closed = False
        self._fails = fails

    def __enter__(self) -> Kept:
        return self

    def write(self, result: FrameResult) -> None:
        self._fails(result)
        self.indices.append(result.index)

    def __exit__(self, *_: object) -> None:
        self.closed = True


def test_all_results_come_in_order_and_the_sink_is_closed(frame: Made) -> None:
    sink = Kept()
    with QueuedSink(sink, "a") as queue:
        for index in range(500):
            queue.write(frame(index))
    assert sink.indices == list(range(500)) and sink.closed
    status = queue.status
    assert (status.state, status.written, status.waiting, status.dropped) == ("closed", 500, 0, 0)


def test_a_slow_sink_loses_the_oldest_and_they_are_counted(frame: Made) -> None:
    go, taken = threading.Event(), threading.Event()
    sink = Kept(lambda result: (taken.set(), go.wait(30)))
    with QueuedSink(sink, "slow", most=10) as queue:
        queue.write(frame(0))
        assert taken.wait(30)
        for index in range(1, 101):
            queue.write(frame(index))
        assert queue.status.waiting <= 11, "one in hand"
        go.set()
    assert sink.indices[-10:] == list(range(91, 101)) and sink.indices[0] == 0
    assert queue.status.dropped_by == {"full": 101 - len(sink.indices)}
    assert queue.status.written == len(sink.indices)


def test_large_pictures_fill_the_queue_sooner(frame: Made) -> None:
    go = threading.Event()
    sink = Kept(lambda result: go.wait(30))
    with QueuedSink(sink, "pictures", most_bytes=3 * 32 * 32 * 3) as queue:
        for index in range(20):
            queue.write(frame(index, size=(32, 32)))
        assert queue.status.waiting <= 4
        go.set()


def test_what_fails_for_a_while_is_tried_again_and_nothing_is_lost(
    frame: Made, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "FIRST_RETRY_S", 0.01)
    tries: list[int] = []

    def full_disk(result: FrameResult) -> None:
        tries.append(result.index)
        if result.index == 2 and tries.count(2) < 4:
            raise OutputError("'a.csv' cannot be written: no space left")

    sink = Kept(full_disk)
    with QueuedSink(sink, "a.csv") as queue:
        for index in range(6):
            queue.write(frame(index))
        until(lambda: queue.status.written == 6)
        assert queue.status.state == "ok"
    assert sink.indices == list(range(6)) and tries.count(2) == 4 and queue.status.dropped == 0
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and "no space left" in told[0] and "works again" in told[1]


def test_one_bad_result_is_counted_and_the_others_come(frame: Made, caplog: pytest.LogCaptureFixture) -> None:
    def bad(result: FrameResult) -> None:
        if result.index == 1:
            raise ZeroDivisionError("x")

    sink = Kept(bad)
    with QueuedSink(sink, "a") as queue:
        for index in range(4):
            queue.write(frame(index))
    assert sink.indices == [0, 2, 3] and queue.status.dropped_by == {"failed": 1}
    assert "ZeroDivisionError" in caplog.text


def test_what_a_failing_sink_lost_counts_no_longer_as_written(
    frame: Made, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "FIRST_RETRY_S", 0.01)
    left = [LostError("full", 1), LostError("full", 2)]

    def full(result: FrameResult) -> None:
        if result.index in (2, 5) and len(left) == 2 - result.index // 5:
            raise left.pop(0)

    with QueuedSink(Kept(full), "a") as queue:
        for index in range(8):
            queue.write(frame(index))
        until(lambda: not queue.status.waiting)
    assert queue.status.written == 5 and queue.status.dropped_by == {"failed": 3}
    assert sum("does not work now" in one.getMessage() for one in caplog.records) == 1, "not again within ten seconds"


def test_a_reader_that_left_gets_nothing_more(frame: Made) -> None:
    def gone(result: FrameResult) -> None:
        raise GoneError("the reader has left")

    with QueuedSink(Kept(gone), "pipe") as queue:
        queue.write(frame(0))
        until(lambda: queue.status.state == "gone")
        queue.write(frame(1))
    assert queue.status.dropped_by == {"gone": 2} and queue.status.reason == "the reader has left"


@pytest.mark.parametrize("hangs", [True, False])
def test_the_end_waits_for_no_sink_longer_than_its_time(frame: Made, hangs: bool) -> None:
    go = threading.Event()

    def never(result: FrameResult) -> None:
        if hangs:
            go.wait(30)
        raise OutputError("no reader")

    queue = QueuedSink(Kept(never), "stuck").__enter__()
    for index in range(5):
        queue.write(frame(index))
    queue.close(within_s=0.3)
    status = queue.status
    assert status.state in ("gone", "closed") and status.written == status.waiting == 0
    assert status.dropped_by == {"end": 5} and status.reason
    go.set()


def test_one_that_hangs_leaves_the_others(frame: Made) -> None:
    go = threading.Event()
    good, bad = Kept(), Kept(lambda result: go.wait(30))
    sinks = LiveSinks()
    sinks.add(bad, "bad")
    sinks.add(good, "good", source="clip.mp4")
    other = Kept()
    sinks.add(other, "other", source="another.mp4")
    for index in range(50):
        sinks.write(frame(index))
    until(lambda: len(good.indices) == 50)
    sinks.close(0.3)
    assert good.indices == list(range(50)) and other.indices == []
    assert [one.dropped for one in sinks.status] == [50, 0, 0]
    go.set()


def test_pictures_are_kept_only_where_they_are_needed(frame: Made) -> None:
    seen: dict[str, list[bool]] = {"with": [], "without": []}
    sinks = LiveSinks()
    for name in seen:
        sink = Kept(lambda result, name=name: seen[name].append(result.image is not None))
        sinks.add(sink, name, pictures=name == "with")
    sinks.write(frame(0, size=(8, 8)))
    sinks.close()
    assert seen == {"with": [True], "without": [False]}
