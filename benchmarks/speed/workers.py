"""The processes that benchmarks measure, seen from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from mdhr_sdk.errors import MDHRError

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("worker.py")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerError(MDHRError):
    """A worker that refused, crashed or was killed; the message is the reason."""


class Worker:
    """One process of `worker.py`; it runs only while it is asked. A context manager that ends it."""

    def __init__(self, request: dict[str, Any], program: Path = PROGRAM) -> None:
        """Start it; `ready` waits until it has loaded."""
        threads = {name: str(request["threads"]) for name in THREAD_VARIABLES}  # read when the libraries load
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(program), json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env={**os.environ, **threads, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
            start_new_session=True,  # Ctrl-C reaches the parent only, which ends its workers
        )

    def ready(self) -> dict[str, Any]:
        """What the job answered.

        Raises:
            WorkerError: it refused, or it is gone; the message says why.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._reason())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def turn(self, seconds: float) -> dict[str, Any]:
        """Let it run for at least `seconds`; raises as `ready`."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"seconds": seconds}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(self._reason()) from None
        return self.ready()

    def close(self) -> None:
        """End the process; may be called twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):  # a line that it never read
                stream.close()
        self._complaints.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reason(self) -> str:
        code = self._process.wait()
        if code < 0:
            hint = "; the system may be out of memory" if -code == signal.SIGKILL else ""
            return f"its process was ended by {signal.Signals(-code).name}{hint}"
        self._complaints.seek(0)
        lines = self._complaints.read().strip().splitlines() or ["without a word"]
        return f"its process ended with code {code}: {lines[-1]}"


def ask_once(request: dict[str, Any]) -> dict[str, Any]:
    """Start a worker for a job that answers once; raises as `Worker.ready`."""
    with Worker(request) as worker:
        return worker.ready()
