"""The folder of a live run: one run at a time, and what the run before left in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...atomic import alone, told, write_whole
from ...errors import number_of, plain
from ...plain_json import read_json
from ..jsonl import utc_text
from .recording import open_segments, pictures, rescue

RUN = "mdhr-live.json"
MOST_BYTES = 1 << 20  # of that file


@dataclass
class LiveRun:
    """What is known of this run, and what the one before left.

    Attributes:
        found: lines for the user on what the run before left; none if it ended well, or there was none.
    """

    folder: Path
    found: list[str] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)

    def begin(self, sources: Sequence[str]) -> None:
        """Note that the run has begun."""
        began = utc_text(datetime.now(timezone.utc))
        self._values = {"began": began, "ended": None, "process": os.getpid(), "sources": [*map(plain, sources)]}
        self._note()

    def end(self, counts: dict[str, Any]) -> None:
        """Note that it has ended, and with which counts."""
        self._values |= {"ended": utc_text(datetime.now(timezone.utc)), **counts}
        self._note()

    def _note(self) -> None:
        write_whole(self.folder / RUN, json.dumps(self._values, indent=1) + "\n", settled=True)


@contextmanager
def live_folder(folder: Path) -> Iterator[LiveRun]:
    """Make the folder, be the only live run in it, and look at what the run before left.

    `mdhr-live.json` tells when a run began and ended. If it did not end, it was killed: its open recordings are named
    as incomplete. Tables and lines of earlier runs are set aside when files of their names are made.

    Raises:
        OutputError: the folder cannot be written, or another run writes into it.
    """
    others = f"another mdhr live writes into '{folder}', or a file of it is just renamed; choose another --out"
    with alone(folder, others):
        run = LiveRun(folder)
        before = _before(folder / RUN)
        if before is not None and not before.get("ended"):
            began = plain(before.get("began") or "an unknown time")
            run.found.append(f"the run of {began} in '{folder}' was killed, or its machine lost power")
        with told(folder):
            for path in open_segments(folder):
                kept = rescue(path)
                told_of = f"'{kept or path}' is a recording that was not closed"
                run.found.append(f"{told_of}; it {_state(kept)}")
        yield run


def _state(recording: Path | None) -> str:
    if recording is None:
        return "held nothing yet and is removed"
    count = pictures(recording)
    return f"plays, with {number_of(count, 'picture')}" if count else "is too short to play"


def _before(path: Path) -> dict[str, Any] | None:
    """What the run before noted; {} if that cannot be read, None if there was none."""
    if not path.is_file():
        return None
    try:
        values = read_json(path, MOST_BYTES)
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
