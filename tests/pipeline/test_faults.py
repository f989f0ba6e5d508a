"""Faults at random, in virtual time: nothing hangs, nothing mixes, nothing is lost without a count."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fault_runs import Harness


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "mdhr_sdk")


def test_fifty_faults(tmp_path: Path) -> None:
    report = Harness(1, tmp_path).run(50)
    assert report.faults.total() == 50 and report.tracks > 10 and report.scores > 50 and report.rows > 50


@pytest.mark.slow
def test_thousands_of_faults(tmp_path: Path) -> None:
    report = Harness(2, tmp_path).run(2000)
    assert len(report.faults) == 20 and min(report.faults.values()) > 0
    assert {"newer", "unread", "start", "same", "left"} <= report.dropped.keys()
    assert {"failed", "end"} <= report.lost.keys() and report.reconnects > 100 and report.stale > 100
