"""Signals at random moments of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdhr_sdk.modelfolder.bundled import bundled_models
from processes import run_python


@pytest.mark.slow
@pytest.mark.skipif("edge" not in bundled_models(), reason="this copy has no bundled weights")
def test_a_study_that_signals_stop_has_whole_results_and_goes_on(tmp_path: Path) -> None:
    words = ("--runs", 2, "--files", 4, "--seed", 3, "--folder", tmp_path)
    done = run_python("-m", "benchmarks.batch.stops", *words, cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0 and "2 resumed to the whole" in done.stdout, done.stderr
