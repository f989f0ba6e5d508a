"""Processes that answer, refuse, crash and are killed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import worker as program
from benchmarks.speed.workers import Worker, WorkerError
from processes import alive

REQUEST: dict[str, Any] = {"job": "matmul", "backend": "matmul-numpy", "device": "cpu", "threads": 1}
ANSWER = "import sys; print('{\"size\": 1}', flush=True)\n"


@pytest.fixture
def fake(tmp_path: Path) -> Any:
    """A program of a few lines in place of `worker.py`."""

    def write(text: str) -> Path:
        (tmp_path / "fake.py").write_text(text)
        return tmp_path / "fake.py"

    return write


def test_a_matrix_product_takes_turns() -> None:
    with Worker(REQUEST) as worker:
        assert worker.ready() == {"size": 2048}
        answer = worker.turn(0)
        assert len(answer["latencies_ms"]) == 1 and answer["latencies_ms"][0] > 0
        if sys.platform == "linux":
            assert answer["rss_peak_mib"] > 3 * 2048**2 * 4 / 2**20  # the three matrices
        pid = worker._process.pid
    assert not alive(pid)


@pytest.mark.parametrize(("seconds", "runs"), [(0, 1), (0.005, 1), (0.025, 3), (0.03, 3)])
def test_a_turn_lasts_as_long_as_asked(seconds: float, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))  # every look at it is 10 ms later
    monkeypatch.setattr(program.time, "perf_counter", lambda: next(clock) / 100)
    times_ms = program.turn(lambda: None, seconds)
    assert times_ms == pytest.approx([10.0] * runs)


def test_a_refusal_is_the_reason(tmp_path: Path) -> None:
    request = {"job": "session", "folder": str(tmp_path), "graph": "clip", "backend": "torch", "precision": "fp32"}
    with (
        Worker({**REQUEST, **request, "inputs": "x"}) as worker,
        pytest.raises(WorkerError, match="not a model folder"),
    ):
        worker.ready()


def test_a_crash_is_its_last_words(fake: Any) -> None:
    for code, reason in (("raise MemoryError('19 GiB')", "1: MemoryError: 19 GiB"), ("exit(3)", "3: without a word")):
        with Worker(REQUEST, fake(code)) as worker, pytest.raises(WorkerError, match=f"ended with code {reason}"):
            worker.ready()


def test_a_kill_in_the_middle_names_the_signal(fake: Any) -> None:
    code = ANSWER + "sys.stdin.readline(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with Worker(REQUEST, fake(code)) as worker:
        worker.ready()
        with pytest.raises(WorkerError, match=r"ended by SIGKILL; the system may be out of memory"):
            worker.turn(1)
        with pytest.raises(WorkerError, match=r"SIGKILL"):
            worker.turn(1)


def test_what_a_library_prints_is_no_answer(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(program.__file__).read_text()
    noisy = source.replace(
        "request = json.loads", "os.write(1, b'hello'); print('noise', flush=True); request = json.loads"
    )
    assert noisy != source
    with Worker(REQUEST, fake(noisy)) as worker:
        assert worker.ready() == {"size": 2048}


def test_leaving_ends_a_process_that_is_busy(fake: Any) -> None:
    with pytest.raises(KeyboardInterrupt), Worker(REQUEST, fake(ANSWER + "import time; time.sleep(600)")) as worker:
        worker.ready()
        pid = worker._process.pid
        raise KeyboardInterrupt
    assert not alive(pid)


def test_a_worker_ends_with_its_parent() -> None:
    worker = Worker(REQUEST)
    worker.ready()
    assert worker._process.stdin is not None
    worker._process.stdin.close()  # what the system does when the parent dies
    assert worker._process.wait(30) == 0
    worker.close()


def test_libraries_are_told_the_number_of_threads(fake: Any) -> None:
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.endswith('NUM_THREADS')}))"
    with Worker({**REQUEST, "threads": 3}, fake(code)) as worker:
        found = worker.ready()
    assert {found[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"3"}


def test_loading_measures_this_process() -> None:
    if sys.platform != "linux":
        assert program.rss_mib("VmRSS") is None
        return
    peak, now = program.rss_mib("VmHWM"), program.rss_mib("VmRSS")
    assert peak is not None and now is not None and peak >= now > 1
    assert program.rss_mib("VmNothing") is None
