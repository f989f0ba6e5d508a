"""Reading 1 to 64 sources: who waits, who drops, what is counted, and how the threads end."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import INFO
from mdhr_sdk.errors import SourceError
from mdhr_sdk.pipeline import readers as reading
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import Meshed
from mdhr_sdk.pipeline.modes import Policy
from mdhr_sdk.pipeline.readers import Readers
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import Frame, Source, SourceInfo, list_sources
from mdhr_sdk.vision.sources.source import Kind, Opened
from processes import until

WAIT_S = 30  # beyond which something hangs


class Finder:
    """Finds no faces, and remembers in which thread it looked."""

    def __init__(self) -> None:
        self.threads: set[threading.Thread] = set()

    def is_cut(self, frame: Frame) -> bool:
        return frame.index < 0

    def mesh(self, frame: Frame, is_cut: bool) -> Meshed:
        self.threads.add(threading.current_thread())
        return Meshed(frame, is_cut, [], 0)


class Reading:
    """Readers of some sources, and what they borrowed."""

    def __init__(self, sources: Sequence[Source], policy: Policy | None = None) -> None:
        self.finders: dict[str, Finder] = {}
        self.given_back: list[str] = []
        self.readers = Readers(sources, lambda _: None, self._open, StageClock(), policy)

    def _open(self, info: SourceInfo) -> Any:
        self.finders[info.name] = Finder()
        return self.finders[info.name], lambda: self.given_back.append(info.name)

    def frames(self) -> Iterator[tuple[int, Frame]]:
        while due := self.readers.due():
            for number, item in due.items():
                if item is not None:
                    frame = item if isinstance(item, Frame) else item.frame
                    self.readers.all[number].given(FrameResult(frame.source, frame.index, frame.timestamp_s, (), INFO))
                    yield number, frame

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.readers.close()


def source(kind: Kind, images: Iterator[Any], live: bool = False, name: str = "") -> Source:
    pairs = ((image, index / 25) for index, image in enumerate(images))
    return Source(name or kind, kind, lambda: contextlib.nullcontext(Opened(25.0, None, live, pairs)))


def small(index: int) -> np.ndarray:
    return np.full((1, 1, 3), index, np.uint8)


def noted(count: int, made: list[int]) -> Iterator[np.ndarray]:
    """Pictures, each noted when it is asked for."""
    for number in range(count):
        made.append(number)
        yield small(number)


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(0, 40), taken=st.integers(0, 45), fails=st.booleans(), kind=st.sampled_from(["video", "array"])
)
def test_complete_gives_all_frames_and_then_the_error(count: int, taken: int, fails: bool, kind: Kind):
    def images() -> Iterator[np.ndarray]:
        yield from map(small, range(count))
        if fails:
            raise SourceError("broken")

    with Reading([source(kind, images())]) as run:
        found = [frame.index for _, frame in itertools.islice(run.frames(), taken)]
        assert found == list(range(min(count, taken)))
        status = run.readers.all[0].status
        assert status.scored == len(found) and (taken <= count or status.ended)
        assert taken <= count or isinstance(status.error, SourceError) == fails
    status = run.readers.all[0].status
    assert status.captured == status.scored + status.dropped and status.scored == len(found)
    assert run.readers.due() == {}, "nothing comes after the end"


@pytest.mark.parametrize(("cores", "ahead"), [(1, 4), (2, 5)])
def test_a_video_is_read_ahead_so_far_and_no_further_and_faces_are_found_there(
    monkeypatch: pytest.MonkeyPatch, cores: int, ahead: int
):
    monkeypatch.setattr("mdhr_sdk.pipeline.reader.FRAMES_AHEAD", 3)
    monkeypatch.setattr("mdhr_sdk.pipeline.reader.usable_cores", lambda: cores)
    made: list[int] = []
    with Reading([source("video", noted(99, made))]) as run:
        assert next(run.frames())[1].index == 0
        until(lambda: len(made) == ahead)  # one is in use, three are ready, and one is decoded beside them
        time.sleep(0.05)
        assert made == list(range(ahead))
    assert len(made) == ahead
    assert run.finders["video"].threads == set(run.readers._threads) and run.given_back == ["video"]


def test_a_frame_that_waits_for_the_faces_of_others_is_replaced_by_a_newer_one():
    permits = threading.Semaphore(1)
    images = (small(index) for index in range(4) if permits.acquire(timeout=WAIT_S))
    with Reading([source("camera", images, live=True)]) as run:
        readers, reader = run.readers, run.readers.all[0]
        frame = readers.due()[0]
        assert isinstance(frame, Frame) and readers.renewed(reader, frame) is frame
        permits.release(3)
        until(lambda: reader.status.captured == 4)
        newer = readers.renewed(reader, frame)
        assert isinstance(newer, Frame) and int(newer.image[0, 0, 0]) == 3
        assert (newer.index, newer.dropped, reader.status.dropped_by) == (0, 3, {"newer": 3})
        permits.release(9)


@pytest.mark.parametrize(("height", "width", "depth"), [(360, 640, 16), (2160, 3840, 5), (4320, 7680, 1)])
def test_big_pictures_do_not_pile_up(height: int, width: int, depth: int):
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    with Reading([source("video", itertools.repeat(image))]) as run:
        next(run.frames())
        until(lambda: len(run.readers.all[0]._ready) == depth)
        time.sleep(0.02)
        assert len(run.readers.all[0]._ready) == depth


def test_a_live_source_that_keeps_all_is_read_on_until_memory_is_full(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(reading, "BYTES_AHEAD", 5 * small(0).nbytes)
    made: list[int] = []
    with Reading([source("stream", noted(20, made), live=True)], "complete") as run:
        until(lambda: caplog.records)  # none was taken yet
        assert len(made) == 6
        assert [(frame.index, frame.dropped) for _, frame in run.frames()] == [(index, 0) for index in range(20)]
        assert run.finders.keys() == {"stream"} and not run.finders["stream"].threads, "they are looked for elsewhere"
    assert ["wait to be scored" in one.getMessage() for one in caplog.records] == [True]


def test_one_that_never_opens_is_not_waited_for_when_reading_is_ended(caplog: pytest.LogCaptureFixture):
    answers = threading.Event()

    def silent() -> Any:
        answers.wait(WAIT_S)
        raise SourceError("gone")

    run = Reading([Source("silent", "stream", silent)])
    run.readers.finishing = True
    assert run.readers.due() == {}
    run.readers.close()
    assert run.readers._threads[0].is_alive() and not caplog.records
    answers.set()
    run.readers._threads[0].join(WAIT_S)


def test_a_file_drops_if_it_is_asked_to_and_the_callers_memory_is_not_shown_late():
    buffer = small(0)

    def reused() -> Iterator[np.ndarray]:
        for number in range(20):
            buffer[:] = number
            yield buffer

    with Reading(list_sources(reused()), "newest") as run:
        until(lambda: run.readers.all[0].ended)
        ((_, frame),) = run.frames()
        buffer[:] = 99
        assert (frame.image[0, 0, 0], frame.dropped, frame.index) == (19, 19, 0)


def test_a_face_finder_that_is_being_made_holds_up_no_other_source_and_no_frame(monkeypatch: pytest.MonkeyPatch):
    made, read = threading.Event(), list[int]()
    open_finder = Reading._open

    def slow(self: Reading, info: SourceInfo) -> Any:
        assert info.name == "quick" or made.wait(WAIT_S)
        return open_finder(self, info)

    monkeypatch.setattr(Reading, "_open", slow)
    quick, late = source("camera", map(small, range(9)), True, "quick"), source("camera", noted(1, read), True, "late")
    with Reading([late, quick]) as run:
        until(lambda: run.readers.all[1].ended)
        assert next(run.frames())[1].source == "quick" and not read, "it is read once its faces can be found"
        made.set()
        assert next(run.frames())[1].source == "late"


def test_what_a_dropped_frame_told_of_the_source_stays_told():
    told = [
        Frame(small(0), 0, 0.0, "camera"),
        Frame(small(1), 1, 0.1, "camera", breaks=True, dropped=2),
        Frame(small(2), 2, 0.2, "camera", note="damaged"),
        Frame(small(3), 3, 0.3, "camera", dropped=1),
    ]
    camera = source("camera", iter(()), live=True)
    camera.__class__ = type("Told", (Source,), {"__iter__": lambda self: iter(told)})
    with Reading([camera]) as run:
        until(lambda: run.readers.all[0].ended)
        ((_, frame),) = run.frames()
        assert (frame.image[0, 0, 0], frame.breaks, frame.note, frame.dropped) == (3, True, "damaged", 6)
        status = run.readers.all[0].status
        assert (status.captured, status.scored, status.dropped) == (7, 1, 6)


def test_files_wait_for_each_other_and_live_sources_for_none():
    go_on = threading.Event()

    def slow() -> Iterator[np.ndarray]:
        assert go_on.wait(WAIT_S), "the camera had to wait for a file"
        yield small(0)

    looked = threading.Semaphore(0)

    def camera() -> Iterator[np.ndarray]:
        for number in range(3):
            yield small(number)
            assert looked.acquire(timeout=WAIT_S)

    sources = [source("video", slow()), source("camera", camera(), live=True), source("video", map(small, range(2)))]
    order = []
    with Reading(sources) as run:
        for number, frame in run.frames():
            order.append((number, frame.index))
            if number == 1:
                looked.release()
            if order[-1] == (1, 2):
                go_on.set()
    assert order == [(1, 0), (1, 1), (1, 2), (0, 0), (2, 0), (2, 1)]


def test_a_frame_tells_when_it_was_read_and_the_end_waits_for_the_one_that_is_being_made():
    begun, ended = threading.Event(), threading.Event()

    def slow() -> Iterator[np.ndarray]:
        yield small(0)
        begun.set()
        time.sleep(0.1)
        ended.set()

    with Reading([source("video", slow())]) as run:
        assert begun.wait(WAIT_S)
        taken_s = time.perf_counter()
        assert next(run.frames())[1].read_s < taken_s
    assert ended.is_set()


def test_garbage_collected_by_its_own_thread_it_ends_without_an_error(monkeypatch: pytest.MonkeyPatch):
    raised: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", raised.append)
    begin, held = threading.Event(), SimpleNamespace()

    def images() -> Iterator[np.ndarray]:
        yield small(0)
        assert begin.wait(WAIT_S)
        held.run.readers.close()
        yield small(1)

    monkeypatch.setattr(reading, "CLOSE_S", 10 * WAIT_S)
    held.run = Reading([source("video", images())])
    begin.set()
    held.run.readers._threads[0].join(WAIT_S)
    assert not held.run.readers._threads[0].is_alive() and raised == []
    assert list(held.run.frames()) == []
    held.run.readers.close()


def test_a_source_that_does_not_answer_is_named_once_and_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    hangs, answers = threading.Event(), threading.Event()

    def hanging() -> Iterator[np.ndarray]:
        yield small(0)
        hangs.set()
        answers.wait(WAIT_S)

    monkeypatch.setattr(reading, "CLOSE_S", 0.05)
    run = Reading([source("camera", hanging(), live=True, name="camera 3"), source("video", map(small, range(3)))])
    assert hangs.wait(WAIT_S)
    run.readers._threads[1].join(WAIT_S)  # three pictures are read without anybody
    for _ in range(2):
        run.readers.close()
    assert [one.getMessage() for one in caplog.records] == [
        "camera 3 has not answered for 0.05 s, and stays open until it does"
    ]
    assert "camera 3" not in run.given_back, "its thread may still look for faces"
    answers.set()
    for thread in run.readers._threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
