"""A table of a data set's labels and facts, and a sheet of crops with their action units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..atomic import write_whole
from ..errors import DataError
from .face.muscles import AUS, LABELS

COLUMNS, ROWS, TILE_PX, STRIP_PX, YELLOW = 10, 6, 128, 18, (0, 255, 255)
LEGEND = "numbers: action units that occur (12 is AU12)     ?: others that nobody could tell"


def contact_sheet(folder: Path, rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a JPEG of crops spread evenly over the data set, each with the AUs that it shows, above a legend."""
    found = [row for row in rows if row["found"]]
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(COLUMNS * ROWS, len(found))).astype(int)]
    tiles = np.zeros((ROWS * COLUMNS, TILE_PX, TILE_PX, 3), np.uint8)
    for tile, row in zip(tiles, chosen, strict=False):
        crop = cv2.imread(str(folder / "img" / row["path"]))
        if crop is None:
            raise DataError(f"'{folder / 'img' / row['path']}' is no picture; remove it and run again")
        tile[:] = cv2.resize(crop, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
        text = " ".join(str(au) for au, label in zip(AUS, row["labels"], strict=True) if label == 1)
        _write(tile, text + " ?" * (-1 in row["labels"]), (2, 10))
    sheet = tiles.reshape(ROWS, COLUMNS, TILE_PX, TILE_PX, 3).transpose(0, 2, 1, 3, 4)
    picture = cv2.copyMakeBorder(
        sheet.reshape(ROWS * TILE_PX, COLUMNS * TILE_PX, 3), 0, STRIP_PX, 0, 0, cv2.BORDER_CONSTANT
    )
    _write(picture, LEGEND, (4, len(picture) - 6))
    write_whole(path, cv2.imencode(".jpg", picture)[1].tobytes(), DataError)


def _write(picture: NDArray[Any], text: str, at: tuple[int, int]) -> None:
    """Write outlined text, which can be read on any background."""
    for colour, thickness in (((0, 0, 0), 3), (YELLOW, 1)):
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.32, colour, thickness, cv2.LINE_AA)


def write_truth(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write truth.csv, one row per frame; `rows` as of `Maker`."""
    import pandas as pd

    codes = LABELS.codes
    table = pd.DataFrame(
        [
            {
                "path": row["path"],
                "found": row["found"],
                **row["clip"],
                "yaw_deg": row["yaw_deg"],
                **{f"{code}_intensity": value for code, value in zip(codes, row["intensities"], strict=True)},
                **dict(zip(codes, row["labels"], strict=True)),
            }
            for row in rows
        ]
    )
    write_whole(folder / "truth.csv", table.to_csv(index=False), DataError)
