"""Results as tables: one row per face and frame, the same columns in CSV files and data frames; and one per event."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO

from ..arguments import flag
from ..errors import InputError, no_formula
from ..measures import MEASURES
from ..results import AUEvent, Ending, FrameResult
from .sinks import FileSink, Item

BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
LIVE = ("captured_at", "delay_ms", "dropped")  # columns that only live sources have
BLOCK = 4096  # rows that are dicts at once
NAMES = ("source", "input", "model")  # columns of texts that come from outside
Row = Mapping[str, object]


def columns(
    codes: Sequence[str], live: bool = False, measures: bool = False, intensities: Collection[str] = ()
) -> list[str]:
    """The columns, in order: where, when and how, track and box, probability and occurrence of each AU, model.

    Tables of live sources have `LIVE` too, those of measured faces `MEASURES`, and AUs in `intensities` their own.
    """
    kinds = {code: ("probability", "occurrence", *(("intensity",) if code in intensities else ())) for code in codes}
    scores = [f"{code}_{kind}" for code in codes for kind in kinds[code]]
    times = ["timestamp_s", *LIVE] if live else ["timestamp_s"]
    measured = MEASURES if measures else ()
    return ["source", "frame", *times, "status", "note", "track_id", *BOX, *scores, *measured, "model"]


def event_columns(intensities: bool) -> list[str]:
    """The columns of a table of events, with `peak_intensity` where the model tells intensities."""
    names = [field.name for field in fields(AUEvent)]
    return [*(name for name in names if intensities or name != "peak_intensity"), "model"]


def records(results: Iterable[FrameResult], codes: Sequence[str]) -> Iterator[dict[str, object]]:
    """The rows of all frames; InputError if a face carries other AUs than `codes`, the columns."""
    expected = set(codes)
    for result in results:
        for face in result.faces:
            if face.aus.keys() != expected:
                raise InputError(
                    f"the table has columns for {', '.join(codes) or 'no AU'}, but frame {result.index} of "
                    f"'{result.source}' has {', '.join(face.aus) or 'no AU'}; pass its model's codes"
                )
        yield from result.rows()


def events_of(frames: Iterable[FrameResult]) -> tuple[AUEvent, ...]:
    """The events of frames in the order in which they ended; then those open at a source's end, if they end here."""
    told: list[AUEvent] = []
    seen: dict[Ending, set[int]] = {}
    for frame in frames:
        told += frame.events
        seen.setdefault(frame.ending, set()).add(frame.index)
    rest = [event for ending, indices in seen.items() for event in ending.events if event.offset_frame in indices]
    return tuple(told + rest)


def as_cells(row: Row) -> Row:
    """A row whose texts no spreadsheet takes for a formula, as they may be in results that somebody made."""
    texts = {name: row[name] for name in NAMES if name in row}
    safe = {name: no_formula(text) for name, text in texts.items() if isinstance(text, str)}
    return row if safe == texts else {**row, **safe}


class RowsSink(FileSink[Item]):
    """Writes rows as comma-separated values in UTF-8, with a header."""

    def _begin(self, part: Path, names: Sequence[str]) -> None:
        # A file name that is not UTF-8 reaches Python as lone surrogates, which UTF-8 cannot hold.
        self._file: IO[str] = part.open("x", encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.DictWriter(self._file, names)
        self._rows.writeheader()

    def _add(self, rows: Iterable[Row]) -> None:
        self._rows.writerows(map(as_cells, rows))
        self._file.flush()  # the file of a killed process then holds them

    def _finish(self) -> None:
        self._file.close()


class CsvSink(RowsSink[list[dict[str, object]]]):
    """Writes results as comma-separated values in UTF-8, with a header; see `FileSink` for when the file appears.

    A frame without a face is a row whose face columns are empty. Boxes are in pixels, timestamps in seconds,
    probabilities in [0, 1], occurrences 0 or 1, intensities in [0, 5]. Which AUs have an intensity, the first frame's
    model says.

    Args:
        path: the file.
        codes: the AU codes of the model, in its order.
        live: with the columns of live sources; None for those of the first frame.
        measures: with the columns of pose, gaze and quality; they are empty for faces that were not measured.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        codes: Sequence[str],
        live: bool | None = None,
        *,
        measures: bool = False,
    ) -> None:
        super().__init__(path)
        self.codes = tuple(codes)
        self._live = None if live is None else flag("live", live)
        self._measures = flag("measures", measures)
        self._intensities: tuple[str, ...] | None = None

    def _render(self, result: FrameResult) -> list[dict[str, object]]:
        if self._intensities is None:
            self._intensities = result.model.intensities
        return list(records((result,), self.codes))

    def _open(self, part: Path, first: list[dict[str, object]]) -> None:
        self._live = LIVE[0] in first[0] if self._live is None else self._live
        self._begin(part, columns(self.codes, self._live, self._measures, self._intensities or ()))

    def _put(self, item: list[dict[str, object]]) -> None:
        unwanted = {*(() if self._live else LIVE), *(() if self._measures else MEASURES)}  # by who opened the table
        unwanted |= {f"{code}_intensity" for code in self.codes if code not in (self._intensities or ())}
        self._add([{name: value for name, value in row.items() if name not in unwanted} for row in item])


class EventsSink(RowsSink[FrameResult]):
    """Writes the events of results as comma-separated values in UTF-8, with a header; see `FileSink`.

    A row is an event, with the fields of `AUEvent` and the model, as in the table. Events that are open when their
    source ends come last. A file without rows means that there was no event. The first frame's model says whether there
    is a `peak_intensity`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._models: dict[Ending, str] = {}
        self._intensities = False

    def _render(self, result: FrameResult) -> FrameResult:
        return result

    def _open(self, part: Path, first: FrameResult) -> None:
        self._intensities = bool(first.model.intensities)
        self._begin(part, event_columns(self._intensities))

    def _put(self, item: FrameResult) -> None:
        if item.ending not in self._models:
            self._models[item.ending] = item.model.details
        self._add_events(item.events, self._models[item.ending])

    def _finish(self) -> None:
        for ending, model in self._models.items():
            self._add_events(ending.events, model)
        super()._finish()

    def _add_events(self, events: Iterable[AUEvent], model: str) -> None:
        unwanted = () if self._intensities else ("peak_intensity",)
        rows = ({**event.row(), "model": model} for event in events)
        self._add({name: value for name, value in row.items() if name not in unwanted} for row in rows)
