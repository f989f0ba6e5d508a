"""Processes that tests start: each in a session of its own, with a deadline, and none left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 200  # less than a fast test may take: what was said until then is shown


def environment(**more: object) -> dict[str, str]:
    """That of a process that imports this checkout and its tests' helpers, with one thread a library."""
    support = ROOT / "tests" / "support"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", support, *support.glob("*/"))))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **{key: str(x) for key, x in more.items()}}


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT interrupts this process, and the processes that are started in this block; SIGHUP reaches them too.

    A shell starts background jobs (`nohup make test &`) with both ignored. Children inherit that, and Python then
    raises no KeyboardInterrupt.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])


@contextlib.contextmanager
def started(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that leads a group of its own; the whole group is killed at the end, whatever happened."""
    options = {"env": environment(), "text": True, **options}
    with interruptible():
        process = subprocess.Popen(list(map(str, command)), start_new_session=True, **options)
    with process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def finished(process: subprocess.Popen[str], timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """What a process that `started` gave has said by its end; after the deadline the test fails with it."""
    try:
        out, error = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, error = process.communicate()
        pytest.fail(f"still running after {timeout_s:g} s: {process.args!r}\n{out or ''}\n{error or ''}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def run(command: Sequence[object], timeout_s: float = TIMEOUT_S, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its exit code and what it said."""
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        return finished(process, timeout_s)


def run_python(*words: object, timeout_s: float = TIMEOUT_S, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this Python with `words`: `"-c", code`, or `"-m", "mdhr_sdk", "detect", ...`."""
    return run([sys.executable, *words], timeout_s, **options)


def until(true: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Wait for what another thread or process does; the test fails if it never comes."""
    end_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.002)


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and waits to be asked how does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
