"""Tables as anybody reads them."""

from __future__ import annotations

import csv
from pathlib import Path


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, all cells as texts."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
