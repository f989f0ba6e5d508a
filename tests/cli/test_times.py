"""Times as a person types them."""

from __future__ import annotations

import pytest

from mdhr_sdk.cli.parts.times import read_time
from mdhr_sdk.errors import ConfigError

TIMES = {
    "90": 90.0, "2s": 2.0, " 1.5 s": 1.5, ".5": 0.5, "2.": 2.0, "10m": 600.0, "1.5H": 5400.0, "7d": 604_800.0,
    "1:30": 90.0, "1:30s": 90.0, "1:02:03.5": 3723.5, 90: 90.0, 1.5: 1.5,
}  # fmt: skip


@pytest.mark.parametrize("typed", TIMES)
def test_a_time_may_be_typed_in_each_of_these_ways(typed: str | float) -> None:
    assert read_time("--start", typed) == TIMES[typed]


@pytest.mark.parametrize(
    "typed",
    ["", "s", "2 s s", "-1s", "1e3", "nan", "inf", "2ms", "1 year", "1:30m", ":30", "9" * 400, "9" * 5000 + ":0"],
)
def test_other_texts_are_refused(typed: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--start expects a time, as 90, 30s, 10m, 2h, 7d, 1:30 or 0:01:30.5; got '"
    ):
        read_time("--start", typed, zero=True)


def test_nought_is_a_time_but_no_duration() -> None:
    assert read_time("--start", "0", zero=True) == 0.0
    with pytest.raises(ConfigError, match=r"^segment expects a time above 0"):
        read_time("segment", "0s")
