"""Results as a table: one row per face and frame, the same columns in CSV files and data frames."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from ..errors import InputError
from ..results import FrameResult
from .sinks import FileSink

BOX = ("x0_px", "y0_px", "x1_px", "y1_px")


def columns(codes: Sequence[str]) -> list[str]:
    """The columns, in order: where, when and how, track and box, probability and occurrence of each AU, model."""
    scores = [f"{code}_{kind}" for code in codes for kind in ("probability", "occurrence")]
    return ["source", "frame", "timestamp_s", "status", "note", "track_id", *BOX, *scores, "model"]


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


class CsvSink(FileSink[list[dict[str, object]]]):
    """Writes results as comma-separated values in UTF-8, with a header; see `FileSink` for when the file appears.

    A frame without a face is a row whose face columns are empty. Boxes are in pixels, timestamps in seconds,
    probabilities in [0, 1], occurrences 0 or 1.

    Args:
        path: the file.
        codes: the AU codes of the model, in its order.
    """

    def __init__(self, path: str | os.PathLike[str], codes: Sequence[str]) -> None:
        super().__init__(path)
        self.codes = tuple(codes)

    def _render(self, result: FrameResult) -> list[dict[str, object]]:
        return list(records((result,), self.codes))

    def _open(self, part: Path, first: list[dict[str, object]]) -> None:
        # A file name that is not UTF-8 reaches Python as lone surrogates, which UTF-8 cannot hold.
        self._file: IO[str] = part.open("x", encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.DictWriter(self._file, columns(self.codes))
        self._rows.writeheader()

    def _put(self, item: list[dict[str, object]]) -> None:
        self._rows.writerows(item)
        self._file.flush()  # a process that is killed has written what it has scored

    def _finish(self) -> None:
        self._file.close()
