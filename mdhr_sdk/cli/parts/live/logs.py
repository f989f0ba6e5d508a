"""What `mdhr live` says while it runs, on standard error: lines of text, or of JSON for programs that collect them."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from ....outputs.jsonl import utc_text
from ..options import Console
from .settings import LogFormat, LogLevel

VALUES = "live"  # attribute of a log record: a mapping that JSON logs hold too
MOST = 1000  # lines that wait
LAST_S = 0.3  # how long the last ones may take
log = logging.getLogger("mdhr_sdk")


class Teller:
    """Prints in a thread of its own: a terminal that is held (Ctrl-S), or a pipe that nobody reads, holds up nothing.

    Attributes:
        stuck: the last lines could not be printed in time; the process must be left without flushing.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stuck = False
        self._acts: queue.Queue[Callable[[], object] | None] = queue.Queue(MOST)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="mdhr tells", daemon=True)
        self._thread.start()

    def tell(self, act: Callable[[], object]) -> None:
        """Let something be printed; if too much waits it is counted instead."""
        try:
            self._acts.put_nowait(act)
        except queue.Full:
            self._lost += 1

    def line(self, text: str) -> None:
        """Let a line be printed."""
        self.tell(lambda: self.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True))

    def close(self) -> None:
        """Print what waits, for a short time."""
        with suppress(queue.Full):
            self._acts.put(None, timeout=LAST_S)
        self._thread.join(LAST_S)
        self.stuck = self._thread.is_alive()

    def _run(self) -> None:
        while (act := self._acts.get()) is not None:
            with suppress(OSError, ValueError):  # the terminal, or the pipe, is closed
                act()
                lost, self._lost = self._lost, 0
                if lost:
                    self.console.print(f"{lost:,} lines could not be printed here", markup=False)


class _Handler(logging.Handler):
    def __init__(self, teller: Teller, as_json: bool) -> None:
        super().__init__()
        self._teller, self._json = teller, as_json

    def emit(self, record: logging.LogRecord) -> None:
        self._teller.line(_as_json(record) if self._json else _as_text(record))


def _as_text(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
    level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
    return f"{at} {level}{record.getMessage()}"


def _as_json(record: logging.LogRecord) -> str:
    at = utc_text(datetime.fromtimestamp(record.created, timezone.utc))
    told: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()}
    return json.dumps({**told, **getattr(record, VALUES, {})}, allow_nan=False)


@contextmanager
def logs(console: Console, level: LogLevel, kind: LogFormat) -> Iterator[Teller]:
    """Within the block print what is logged from `level` on."""
    teller = Teller(console)
    handler = _Handler(teller, kind == "json")
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
    try:
        yield teller
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
        teller.close()
