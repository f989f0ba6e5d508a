"""Counting the decisions on which two readings of a video agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.accuracy.agreement import Agreement, Decided

VIDEO = Path("a.mp4")


def reading(*scores: float) -> Decided:
    return np.array(scores), np.array(scores) >= 0.5


def test_decisions_are_counted_where_both_readings_have_a_face() -> None:
    agreement = Agreement(("AU01", "AU12"))
    line = agreement.add(
        VIDEO,
        {0: reading(0.1, 0.6), 1: reading(0.2, 0.9), 2: reading(0.9, 0.9)},
        {0: reading(0.1, 0.4), 1: reading(0.2, 0.8), 3: reading(0.1, 0.1)},
    )
    assert line == (
        "a.mp4: 75.00 % of 4 decisions agree; scores differ by 0.075 on average, 0.20 at most; "
        "least: AU12 50.0, AU01 100.0"
    )
    agreement.add(VIDEO, {0: reading(0.1, 0.1)}, {0: reading(0.9, 0.1)})
    assert list(agreement.lines()) == ["all: 66.67 % of 6 decisions agree", "AU01 66.7, AU12 66.7"]


def test_nothing_in_common_is_said() -> None:
    agreement = Agreement(("AU01",))
    assert "no frame" in agreement.add(VIDEO, {0: reading(0.1)}, {1: reading(0.1)})
    assert list(agreement.lines()) == ["nothing to compare"]
