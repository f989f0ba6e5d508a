"""`mdhr detect` with several live sources: all are read at once, and each has its own files and its own end."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fake_streams import camera, streaming
from fakes import FakeMesher, picture, video
from mdhr_sdk import AUDetector
from mdhr_sdk.cli.scoring import detect
from mdhr_sdk.outputs import SinkGroup
from mdhr_sdk.outputs.files import Files
from mdhr_sdk.results import FrameResult

TABLE = Files(overlay=False, timeline=False)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch, no_cuts: None) -> AUDetector:
    monkeypatch.setattr("mdhr_sdk.detector.FaceMesher", FakeMesher)
    return streaming()


def rows(folder: Path) -> dict[str, int]:
    return {path.name: len(pd.read_csv(path)) for path in sorted(folder.glob("*_aus*.csv"))}


def test_ctrl_c_ends_them_all_with_whole_tables(detector: AUDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write, right_was_scored = SinkGroup.write, threading.Event()

    def watched(self: SinkGroup, result: FrameResult) -> None:
        write(self, result)
        if result.source == "right":
            right_was_scored.set()

    monkeypatch.setattr(SinkGroup, "write", watched)

    def left() -> Iterator[np.ndarray]:
        yield from video([{0}] * 4)
        assert right_was_scored.wait(60)
        raise KeyboardInterrupt

    def right() -> Iterator[np.ndarray]:
        while True:
            time.sleep(0.005)
            yield picture(0, {1})

    sources = [camera(left(), "left"), camera(right(), "right", hasty=True)]
    assert detect.run_detect(detector, sources, tmp_path, TABLE) == []
    kept = rows(tmp_path)
    assert kept["left_aus.csv"] == 4 and kept["right_aus.csv"] >= 1, "none is marked as incomplete"
    assert {path.name for path in tmp_path.glob("*_events*")} == {"left_events.csv", "right_events.csv"}


def test_the_output_of_one_that_fails_leaves_the_other(detector: AUDetector, tmp_path: Path):
    (tmp_path / "left_aus.csv").mkdir()
    sources = [camera(video([{0}] * 3), "left"), camera(video([{1}] * 9), "right")]
    errors = detect.run_detect(detector, sources, tmp_path, TABLE)
    assert len(errors) == 1 and "left_aus.csv" in str(errors[0])
    assert len(pd.read_csv(tmp_path / "right_aus.csv")) == 9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_frame_is_written_loses_none(
    detector: AUDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    write, counted = SinkGroup.write, []

    def interrupted(self: SinkGroup, result: Any) -> None:
        counted.append(result.index)
        if len(counted) == 3:
            signal.raise_signal(number)
        write(self, result)

    def endless() -> Iterator[np.ndarray]:
        for index in itertools.count():
            time.sleep(0.005)
            yield picture(index % 5, {0})

    before = signal.signal(number, signal.default_int_handler)
    try:
        monkeypatch.setattr(SinkGroup, "write", interrupted)
        assert detect.run_detect(detector, [camera(endless(), "left", hasty=True)], tmp_path, TABLE) == []
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert counted == list(range(len(counted))) and len(counted) > 3, "what waited came too"
    assert rows(tmp_path) == {"left_aus.csv": len(counted)}
