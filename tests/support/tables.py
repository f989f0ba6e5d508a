"""Tables as anybody reads them."""

from __future__ import annotations

import csv
from pathlib import Path

from mdhr_sdk.outputs.sinks import FileSink
from mdhr_sdk.results import FrameResult


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, all cells as texts."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(sink: FileSink, *results: FrameResult) -> Path:
    """Give all results to a sink; the path of its file."""
    with sink:
        for result in results:
            sink.write(result)
    return sink.path
