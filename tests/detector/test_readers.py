"""Reading several sources at once: whose frame is taken when, and how the threads end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fake_streams import camera, of_each, streaming
from fakes import FakeMesher, picture, values, video
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import InputError
from mdhr_sdk.pipeline import readers as cameras
from mdhr_sdk.pipeline.readers import Readers
from mdhr_sdk.pipeline.run import MAX_SOURCES
from mdhr_sdk.vision import Frame, Source, list_sources
from mdhr_sdk.vision.sources.source import Kind, Opened

WAIT_S = 30  # beyond which something hangs


@pytest.fixture
def detector(meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return streaming()


def source(kind: Kind, opener: Callable[[], Opened], name: str = "") -> Source:
    return Source(name or kind, kind, lambda: contextlib.nullcontext(opener()))


def fit(_: Source) -> None:
    """Every source is."""


def test_a_frame_is_asked_for_once_the_one_before_was_used(
    detector: AUDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = [{0}, {1}, {0, 2}, {1}, {0}]
    wanted = values(detector.stream(video(pattern), 0))
    asked, find = threading.Event(), FakeMesher.find

    def reused() -> Iterator[np.ndarray]:
        buffer = picture(0, set())
        for index, slots in enumerate(pattern):
            buffer[...] = picture(index, slots)
            asked.set()
            yield buffer

    def slow(self: FakeMesher, image: np.ndarray) -> list[object]:
        asked.clear()
        asked.wait(0.2)  # time enough for a hasty reader to write the next picture over this one
        return list(find(self, image))

    monkeypatch.setattr(FakeMesher, "find", slow)
    assert values(detector.stream([reused()], 0)) == wanted


def test_a_source_that_still_opens_blocks_no_camera(detector: AUDetector) -> None:
    enough = threading.Event()

    def unreachable() -> Opened:
        assert enough.wait(WAIT_S), "the camera had to wait for a source that never opened"
        return Opened(25.0, None, True, iter([(picture(0, {1}), 0.0)]))

    results = []
    for frame in detector.stream([source("stream", unreachable), camera(video([{0}] * 3))], 0):
        results.append(frame)
        if len(results) == 3:
            enough.set()
    assert {name: len(own) for name, own in of_each(results).items()} == {"camera": 3, "stream": 1}


def test_a_file_that_is_slow_blocks_other_files_but_no_camera(detector: AUDetector) -> None:
    enough = threading.Event()

    def slow() -> Iterator[np.ndarray]:
        assert enough.wait(WAIT_S), "the camera had to wait for a file"
        yield picture(0, {1})

    results = []
    for frame in detector.stream([slow(), camera(video([{0}] * 3)), video([{2}])], 0):
        results.append(frame)
        if frame.source == "camera" and frame.index == 2:
            assert {one.source for one in results} == {"camera"}
            enough.set()
    assert [frame.source for frame in results[3:]] == ["array[0]", "array[2]"]


def test_of_a_camera_the_newest_frame_is_taken(
    detector: AUDetector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Five come while the first is looked at."""
    looks, shown, find = threading.Event(), threading.Event(), FakeMesher.find

    def lively() -> Iterator[tuple[np.ndarray, float]]:
        yield picture(0, {0}), 0.0
        assert looks.wait(WAIT_S)
        for index in range(1, 6):
            yield picture(index, {0}), index / 25
        shown.set()  # asked for once more: the fifth lies there
        yield from ()

    def busy(self: FakeMesher, image: np.ndarray) -> list[object]:
        looks.set()
        assert shown.wait(WAIT_S), "the camera was not read on"
        return list(find(self, image))

    monkeypatch.setattr(FakeMesher, "find", busy)
    with caplog.at_level(logging.INFO, "mdhr_sdk"):
        found = list(detector.stream([source("camera", lambda: Opened(25.0, None, True, lively()), "camera 0")], 0))
    assert [frame.timestamp_s for frame in found] == [0.0, 5 / 25]
    assert [(frame.index, frame.delay_frames) for frame in found] == [(0, 0), (1, 0)], "none of the others counts"
    assert "camera 0: 2 frames taken, 4 passed over" in caplog.text


def test_a_frame_tells_when_it_was_read_not_when_it_was_taken() -> None:
    readers = Readers(list_sources(video([{0}])), fit)
    try:
        while readers.all[0].frame is None:
            time.sleep(0.001)
        shown_s = time.perf_counter()
        frame = readers.due()[0]
        assert isinstance(frame, Frame) and frame.read_s < shown_s
    finally:
        readers.close()


def test_a_source_that_does_not_answer_is_named_and_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers, threads = threading.Event(), threading.active_count()

    def hanging() -> Iterator[tuple[np.ndarray, float]]:
        yield picture(0, {0}), 0.0
        answers.wait(WAIT_S)

    monkeypatch.setattr(cameras, "CLOSE_S", 0.05)
    hung = source("camera", lambda: Opened(25.0, None, True, hanging()), "camera 3")
    readers = Readers([hung, *list_sources([video([{0}] * 3)])], fit)
    readers.due()
    readers.close()
    assert [one.getMessage() for one in caplog.records] == [
        "camera 3 has not answered for 0.05 s, and stays open until it does"
    ]
    answers.set()
    for thread in readers._threads:
        thread.join(WAIT_S)
    assert threading.active_count() == threads


def test_a_face_finder_is_closed_with_its_source(detector: AUDetector, meshers: list[FakeMesher]) -> None:
    closed = {}
    for frame in detector.stream([video([{0}] * 2), video([{1}] * 6)], 0):
        closed[frame.source, frame.index] = [mesher.closed for mesher in meshers]
    assert closed["array[1]", 1] == [False, False] and closed["array[1]", 5] == [True, False]
    assert [mesher.closed for mesher in meshers] == [True, True]


def test_so_many_sources_at_once_and_no_more(detector: AUDetector) -> None:
    still = picture(0, {0})
    with pytest.raises(InputError, match=r"at most 64 sources at once; got 65; give the list to predict\(\)"):
        detector.stream([still] * (MAX_SOURCES + 1), 0)
    assert len(list(detector.stream([still] * MAX_SOURCES, 0))) == MAX_SOURCES
