"""Workers that need no model, for what is around them: they count what they are given, and end when told to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from fakes import INFO
from mdhr_sdk.batch.options import Described
from mdhr_sdk.batch.outcome import Outcome
from mdhr_sdk.batch.worker import Job
from mdhr_sdk.errors import BackendError, SourceError
from mdhr_sdk.vision import Source
from mdhr_sdk.vision.sources.source import Opened

DESCRIBED = Described(INFO, "fake", ("AU01",), "key")


def never() -> Opened:
    raise SourceError("not opened here")


def job(number: int, name: str) -> Job:
    return Job(number, Source(name, "video", never), name, name, 10)  # type: ignore[arg-type]


class Counting:
    """Does what the name of a file says: 'kill' dies, 'kill once' dies the first time, 'raise' and 'fail' do so.

    Every job that is begun is a line in `log`.
    """

    def __init__(self, log: Path) -> None:
        self.described = DESCRIBED
        self._log = log

    def run(self, job: Job) -> Outcome:
        name = job.source.name
        before = self._log.read_text().split("\n") if self._log.exists() else []
        with self._log.open("a") as file:
            file.write(f"{name}\n")
        if name.startswith("kill") and not ("once" in name and name in before):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("raise"):
            raise ZeroDivisionError("nobody thought of this")
        if name.startswith("slow"):
            time.sleep(60)
        outcome = Outcome(job.source, job.label, frames=3, read=True)
        if name.startswith("fail"):
            outcome.error = SourceError(f"{name} is no video")
        return outcome


def refusing() -> Counting:
    raise BackendError("the model cannot be opened here")


def dying() -> Counting:
    os._exit(3)
