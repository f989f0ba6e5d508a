"""benchmarks/accuracy/events.py: which event goes with which of the truth, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.accuracy.events import compare, measure, pooled, row, runs
from mdhr_sdk import AUEvent


def event(first: int, last: int, au: str = "AU12") -> AUEvent:
    return AUEvent("clip", 0, au, first, first, last, first / 25, first / 25, last / 25, 0.9)


def labels(text: str) -> np.ndarray:
    return np.array([{"-": 0, "#": 1, "?": -1}[letter] for letter in text], np.int8)


def test_the_truth_as_runs():
    assert list(runs(labels("##--#-###?##"))) == [(0, 1), (4, 4), (6, 8), (10, 11)]
    assert list(runs(labels("---"))) == [] and list(runs(labels("#"))) == [(0, 0)]


def test_errors_worked_out_by_hand():
    found = compare([event(3, 8), event(13, 14), event(17, 19)], labels("----#####---------##"))
    assert (found.true, found.missed, found.false) == (2, 0, 1)
    assert found.onsets == [-1, -1] and found.offsets == [0], "the second one goes on beyond the clip"


def test_an_event_over_two_of_the_truth_counts_for_the_longer_one():
    found = compare([event(1, 9)], labels("-##--#####-"))
    assert (found.missed, found.onsets, found.offsets) == (1, [-4], [0])


@pytest.mark.parametrize(("text", "onsets", "offsets"), [("?###-", [], [0]), ("-###?", [0], []), ("####-", [], [0])])
def test_an_end_that_nobody_knows_is_not_measured(text: str, onsets: list[int], offsets: list[int]):
    first = text.index("#")
    found = compare([event(first, 3)], labels(text))
    assert (found.onsets, found.offsets, found.missed, found.false) == (onsets, offsets, 0, 0)


def test_what_lies_where_nobody_can_tell_is_not_false():
    assert compare([event(0, 1), event(3, 4)], labels("-?---")).false == 1


def test_clips_are_added_up_and_told():
    @dataclass
    class Clip:
        frames: np.ndarray
        labels: np.ndarray

    class Detector:
        codes = ("AU12", "AU25")

        def predict(self, frames, fps):
            self.events = (event(1, 3), event(0, 4, "AU25"))
            return self

    from mdhr_sdk.aus import label_set

    truth = np.zeros((6, 15), np.int8)
    truth[2:4, label_set("synthetic").codes.index("AU12")] = 1
    found = measure(Detector(), [Clip(np.zeros((6, 1, 1, 3), np.uint8), truth)] * 2)
    assert (found["AU12"].onsets, found["AU12"].offsets, found["AU25"].false) == ([-1, -1], [0, 0], 2)
    both = pooled(list(found.values()))
    assert row("both", both) == ["both", "2", "0", "2", "1", "1", "2", "0", "0", "2"]
    assert row("AU25", found["AU25"]) == ["AU25", "0", "0", "2", "-", "-", "0", "-", "-", "0"]
