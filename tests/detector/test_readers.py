"""Reading several sources at once: whose frame is taken when, and how the threads end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fake_streams import camera, of_each, streaming
from fakes import FakeMesher, picture, values, video
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import InputError
from mdhr_sdk.pipeline.run import MAX_SOURCES
from mdhr_sdk.vision import Source
from mdhr_sdk.vision.sources.source import Kind, Opened

WAIT_S = 30  # beyond which something hangs


@pytest.fixture
def detector(meshers: list[FakeMesher], no_cuts: None) -> AUDetector:
    return streaming()


def source(kind: Kind, opener: Callable[[], Opened], name: str = "") -> Source:
    return Source(name or kind, kind, lambda: contextlib.nullcontext(opener()))


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


def test_one_face_finder_of_a_kind_is_kept_and_the_others_close_with_their_sources(
    detector: AUDetector, meshers: list[FakeMesher]
) -> None:
    for _ in range(2):
        assert len(list(detector.stream([video([{0}] * 2), video([{1}] * 6), picture(0, {0})], 0))) == 9
        assert sorted((mesher.given[1], mesher.closed) for mesher in meshers if not mesher.closed) == [
            (False, False), (True, False),
        ]  # fmt: skip
    assert len(meshers) == 4, "three, and one for the second video of the second run"
    detector.close()
    assert all(mesher.closed for mesher in meshers)


def test_so_many_sources_at_once_and_no_more(detector: AUDetector, tmp_path: Path) -> None:
    still = picture(0, {0})
    paths = [tmp_path / f"{number}.png" for number in range(MAX_SOURCES + 1)]
    for path in paths:
        path.touch()
    for many in ([still] * len(paths), pd.Series(paths), np.array(paths), iter(paths), tmp_path.glob("*.png")):
        with pytest.raises(InputError, match=r"most 64 sources at once; got 65; give files to predict\(\)"):
            detector.stream(many, 0, sequence=False)
    assert len(list(detector.stream([still] * MAX_SOURCES, 0))) == MAX_SOURCES
