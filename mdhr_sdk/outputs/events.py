"""Events as a table: one row each."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import IO

from ..results import AUEvent, Ending, FrameResult
from .sinks import FileSink

COLUMNS = (*(field.name for field in fields(AUEvent)), "model")


def events_of(frames: Iterable[FrameResult]) -> tuple[AUEvent, ...]:
    """The events of frames in the order in which they ended; then those open at a source's end, if they end here."""
    told: list[AUEvent] = []
    seen: dict[Ending, set[int]] = {}
    for frame in frames:
        told += frame.events
        seen.setdefault(frame.ending, set()).add(frame.index)
    rest = [event for ending, indices in seen.items() for event in ending.events if event.offset_frame in indices]
    return tuple(told + rest)


class EventsSink(FileSink[FrameResult]):
    """Writes the events of results as comma-separated values in UTF-8, with a header; see `FileSink`.

    A row is an event, with the fields of `AUEvent` and the model, as in the table. Those that are open when their
    source ends come last. A file without rows says that there was none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._models: dict[Ending, str] = {}

    def _render(self, result: FrameResult) -> FrameResult:
        return result

    def _open(self, part: Path, first: FrameResult) -> None:
        # A file name that is not UTF-8 reaches Python as lone surrogates, which UTF-8 cannot hold.
        self._file: IO[str] = part.open("x", encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.DictWriter(self._file, COLUMNS)
        self._rows.writeheader()

    def _put(self, item: FrameResult) -> None:
        if item.ending not in self._models:
            self._models[item.ending] = item.model.details
        self._write(item.events, self._models[item.ending])

    def _finish(self) -> None:
        for ending, model in self._models.items():
            self._write(ending.events, model)
        self._file.close()

    def _write(self, events: Iterable[AUEvent], model: str) -> None:
        self._rows.writerows({**event.row(), "model": model} for event in events)
        self._file.flush()  # a process that is killed has written what it has found
