"""What `mdhr live` says while it runs, on standard error: lines of text, or of JSON for programs that collect them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from ....outputs.jsonl import utc_text
from ..options import Console
from .settings import LogFormat, LogLevel

VALUES = "live"  # attribute of a log record: a mapping that JSON logs hold too
log = logging.getLogger("mdhr_sdk")


class _ConsoleHandler(logging.Handler):
    """Prints records above the table, where there is one. A terminal that has gone is no error."""

    def __init__(self, console: Console, as_json: bool) -> None:
        super().__init__()
        self._console, self._json = console, as_json

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # the terminal or the pipe is closed
            text = _as_json(record) if self._json else _as_text(record)
            self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _as_text(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
    level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
    return f"{at} {level}{record.getMessage()}"


def _as_json(record: logging.LogRecord) -> str:
    at = utc_text(datetime.fromtimestamp(record.created, timezone.utc))
    told: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()}
    return json.dumps({**told, **getattr(record, VALUES, {})}, allow_nan=False)


@contextmanager
def logs(console: Console, level: LogLevel, kind: LogFormat) -> Iterator[None]:
    """Within the block print what is logged from `level` on."""
    handler = _ConsoleHandler(console, kind == "json")
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
