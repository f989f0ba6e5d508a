"""Arguments of the public functions: a word is neither yes nor no, and what no float holds is no number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mdhr_sdk
from mdhr_sdk import summary
from mdhr_sdk.arguments import is_number
from mdhr_sdk.errors import ConfigError, MDHRError
from mdhr_sdk.modelfolder.entries import wrong
from mdhr_sdk.modelfolder.selection import select
from mdhr_sdk.outputs.files import Files
from mdhr_sdk.pipeline.scores.neutral import checked_seconds
from mdhr_sdk.pipeline.scores.smoothing import OneEuro
from mdhr_sdk.vision.scope import read_person
from mdhr_sdk.vision.tracks import Tracker

HUGE = 10**400
TABLE = pd.DataFrame({"source": ["a"], "track_id": [0], "status": ["ok"], "AU12_occurrence": [1]})
EVENTS = pd.DataFrame(columns=["source", "track_id", "au", "onset_s", "onset_cut"])
FLAGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "CsvSink live": ("live", lambda word: mdhr_sdk.CsvSink("a.csv", ["AU12"], word)),
    "CsvSink": ("measures", lambda word: mdhr_sdk.CsvSink("a.csv", ["AU12"], measures=word)),
    "OpenFaceSink": ("measures", lambda word: mdhr_sdk.OpenFaceSink("a.csv", ["AU12"], word)),
    "LiveTables": ("measures", lambda word: mdhr_sdk.LiveTables(Path("a"), ["AU12"], word)),
    "Files": ("overlay", lambda word: Files(overlay=word)),
    "summary": ("trusted", lambda word: summary.occurrence_rate(TABLE, trusted=word)),
    "build_mdhr": ("pretrained", lambda word: mdhr_sdk.build_mdhr(pretrained=word)),
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "start_s": lambda value: mdhr_sdk.Scope(start_s=value),
    "end_s": lambda value: mdhr_sdk.Scope(end_s=value),
    "sample_fps": lambda value: mdhr_sdk.Scope(sample_fps=value),
    "region": lambda value: mdhr_sdk.Scope(region=(0, 0, value, 1)),
    "fps": lambda value: mdhr_sdk.list_sources(np.zeros((2, 8, 8, 3), np.uint8), fps=value),
    "smoothing": OneEuro,
    "neutral": checked_seconds,
    "threshold": lambda value: select(mdhr_sdk.ModelFolder.open("edge").config, {"AU12": value}),
    "max_gap_s": lambda value: Tracker(max_gap_s=value),
    "min_iou": lambda value: Tracker(min_iou=value),
    "window_s": lambda value: summary.onset_synchrony(EVENTS, ("a", 0), ("a", 1), window_s=value),
    "duration_s": lambda value: summary.onset_synchrony(EVENTS, ("a", 0), ("a", 1), duration_s=value),
    "port": lambda value: mdhr_sdk.ServeSink(port=value),
    "width_px": lambda value: mdhr_sdk.ServeSink(width_px=value),
}


@pytest.mark.parametrize("where", FLAGS)
def test_a_word_is_neither_yes_nor_no(where: str) -> None:
    name, call = FLAGS[where]
    with pytest.raises(ConfigError, match=f"^{name} must be True or False; got 'no'$"):
        call("no")


@pytest.mark.parametrize("where", NUMBERS)
@pytest.mark.parametrize("value", [HUGE, -HUGE, math.inf, math.nan], ids=["huge", "-huge", "inf", "nan"])
def test_what_no_float_holds_is_no_number(where: str, value: object) -> None:
    with pytest.raises(MDHRError):
        NUMBERS[where](value)


def test_an_overlay_of_no_rate_has_the_usual_one(tmp_path: Path) -> None:
    rates = {mdhr_sdk.OverlaySink(tmp_path / "a.mp4", fps).fps for fps in (None, math.nan, HUGE, 0)}
    assert len(rates) == 1 and mdhr_sdk.OverlaySink(tmp_path / "a.mp4", np.float32(30)).fps == 30


def test_numbers() -> None:
    assert all(map(is_number, (0, 1.5, -3, np.float32(2), np.int64(3))))
    assert not any(map(is_number, (True, np.True_, "5", None, HUGE, -HUGE, math.nan, math.inf, np.float64("nan"))))


def test_a_manifest_counts_in_numbers_that_a_float_holds() -> None:
    assert [list(wrong({key: HUGE})) for key in ("bytes", "build_s")] == [
        ["a 'bytes' that is no count"],
        ["a 'build_s' that is no number"],
    ]


def test_a_track_id_of_thousands_of_digits_is_a_line() -> None:
    with pytest.raises(ConfigError, match=re.escape("or a track id, 0 or more; got '999")):
        read_person("9" * 5000)
