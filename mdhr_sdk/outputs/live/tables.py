"""The tables of one live source: a row a face and frame, and a row an event, whole to the last row at any moment."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...arguments import flag
from ...errors import OutputError
from ...results import Ending, FrameResult
from ..naming import EVENTS, TABLE
from ..table import as_cells, columns, event_columns, records
from .append import AppendFile

if TYPE_CHECKING:
    from typing_extensions import Self


class LiveTables:
    """`NAME_aus.csv` and `NAME_events.csv` of one source: as `CsvSink` and `EventsSink`, but they grow in place.

    The first has the columns of live sources, empty for a file. Files of an earlier run are set aside, never
    overwritten; see `AppendFile`.

    Args:
        base: folder of the files, and what their names begin with.
        codes: the AU codes of the model, in its order.
        measures: with the columns of pose, gaze and quality.
        intensities: codes of the AUs that have an intensity.

    Raises:
        OutputError: a file cannot be written.
    """

    def __init__(
        self, base: Path, codes: Sequence[str], measures: bool = False, intensities: Sequence[str] = ()
    ) -> None:
        self._paths = [base.with_name(base.name + end) for end in (TABLE, EVENTS)]
        self._codes = tuple(codes)
        self._columns = columns(codes, live=True, measures=flag("measures", measures), intensities=intensities)
        self._event_columns = event_columns(bool(intensities))
        self._endings: dict[Ending, str] = {}
        self._files: list[AppendFile] = []
        self._half_done: FrameResult | None = None  # its rows are written, its events are not

    def __enter__(self) -> Self:
        try:
            for path, names in zip(self._paths, (self._columns, self._event_columns), strict=True):
                self._files.append(AppendFile(path, _rows(names, [dict(zip(names, names, strict=True))])))
        except OutputError:
            self.__exit__()
            raise
        return self

    def write(self, result: FrameResult) -> None:
        """Add the rows of one frame, in one write."""
        if not self._files:
            raise OutputError(f"'{self._paths[0].name}' takes frames inside its with block; enter it first")
        frames, events = self._files
        self._endings.setdefault(result.ending, result.model.details)
        if result is not self._half_done:  # it is tried again, after the events could not be written
            frames.add(_rows(self._columns, records((result,), self._codes)))
            self._half_done = result
        if result.events:
            model = result.model.details
            rows = ({**event.row(), "model": model} for event in result.events)
            events.add(_rows(self._event_columns, rows), 0)
        self._half_done = None

    def __exit__(self, *_: object) -> None:
        files, self._files = self._files, []
        try:
            for ending, model in self._endings.items():
                if files and ending.events:
                    rows = ({**event.row(), "model": model} for event in ending.events)
                    files[1].add(_rows(self._event_columns, rows), 0)
        finally:
            for file in files:
                file.close()


def _rows(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Comma-separated values, as in `CsvSink`."""
    text = io.StringIO(newline="")
    csv.DictWriter(text, names).writerows(map(as_cells, rows))
    return text.getvalue().encode("utf-8", errors="backslashreplace")
