"""Files shared out among processes: each is done exactly once, whatever becomes of a worker."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from batch_workers import Counting, dying, job, refusing
from mdhr_sdk.batch.crews.processes import Processes
from mdhr_sdk.batch.outcome import Outcome
from mdhr_sdk.batch.study import run_study
from mdhr_sdk.batch.totals import Totals, duration
from mdhr_sdk.errors import BackendError, MDHRError


def outcomes(names: list[str], make: Callable[[], Counting], size: int = 2) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    with closing(Processes(make, size)) as crew:

        def tell(job: object, outcome: Outcome) -> None:
            assert outcome.source.name not in found, "an outcome comes once"
            found[outcome.source.name] = outcome

        run_study((job(number, name) for number, name in enumerate(names)), crew, tell)
    return found


def test_a_killed_worker_and_a_bad_file_end_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["a", "kill once", "b", "kill", "fail", "raise", *(f"c{index}" for index in range(20))]
    with caplog.at_level(logging.WARNING, "mdhr_sdk"):
        found = outcomes(names, partial(Counting, tmp_path / "log"))
    states = {name: found[name].state for name in names}
    assert states == dict.fromkeys(names, "done") | dict.fromkeys(("kill", "fail", "raise"), "failed")
    assert "was tried 2 times and has no results: its worker was killed by SIGKILL" in str(found["kill"].error)
    assert "ZeroDivisionError: nobody thought of this" in str(found["raise"].error)
    begun = (tmp_path / "log").read_text().split()
    assert begun.count("a") == begun.count("fail") == 1, "what was done is not done again"
    assert (tmp_path / "log").read_text().count("kill\n") == 2
    assert sum("it is done again" in text for text in caplog.messages) == 3


@pytest.mark.slow
def test_nothing_to_do_and_workers_that_cannot_begin(tmp_path: Path) -> None:
    assert outcomes([], partial(Counting, tmp_path / "log"), 1) == {}
    with pytest.raises(BackendError, match="the model cannot be opened here"):
        outcomes(["a"], refusing, 1)
    with pytest.raises(MDHRError, match=r"end before they are ready \(ended with exit code 3\)"):
        outcomes(["a"], dying, 1)


def test_totals_say_how_far_it_is_and_keep_few_outcomes() -> None:
    began_s = time.monotonic() - 100  # long ago, beside the moments between two looks at the clock
    totals = Totals(1000, 10_000, began_s=began_s)
    assert totals.line == "0 of 1,000 files"
    for number in range(500):
        one = job(number, f"{number}")
        outcome = Outcome(one.source, one.label, frames=10, read=True, skipped=number < 100)
        outcome.error = MDHRError("no video") if number == 300 else None
        totals.add(one, outcome)
    assert totals.line.startswith("500 of 1,000 files, 100 skipped, 1 failed, ") and totals.line.endswith(" left")
    assert len(totals.shown) == 11 and totals.frames == 4000
    told = json.loads(totals.text(None))
    assert (told["files"], told["not_read"], told["frames"]) == (1000, 500, 5000), "of what was done before, too"
    assert totals.left_s == pytest.approx(totals.seconds * 5 / 4, rel=0.1)
    totals = Totals(10, 10_000, began_s=began_s)
    one = job(0, "broken")
    totals.add(one, Outcome(one.source, one.label, error=MDHRError("no video")))
    assert totals.left_s == pytest.approx(totals.seconds * 9, rel=0.5), "its few bytes say nothing of the others"
    assert [duration(seconds) for seconds in (5, 300, 11_100)] == ["5 s", "5 min", "3 h 05 min"]
