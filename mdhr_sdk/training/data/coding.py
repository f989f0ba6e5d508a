"""Label files of distributions: one table per video, or one file per AU."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...aus import LabelSet
from ...errors import DataError, number_of
from .spec import RawLayout

BAD = -(1 << 31)  # no value of any layout
Table = dict[int, list[str]]
Coded = tuple[NDArray[np.int64], NDArray[np.int64]]


def read_table(label_set: LabelSet, layout: RawLayout, files: Mapping[int, Path]) -> Coded:
    """Frame numbers (n,) and values (n, N) of a table with a header row."""
    path = files[0]
    lines = _lines(path)
    header = [_au_of(word) for word in lines[0].split(",")[1 if layout.numbered else 0 :]]
    missing = [au for au in label_set.aus if au not in header]
    if missing:
        raise DataError(
            f"{path}, line 1: no column for AU {', '.join(map(str, missing))}; the header must hold AU numbers"
        )
    if len(lines) == 1:
        raise DataError(f"{path} has a header and no frames; get it again, or remove it")
    columns = [header.index(au) for au in label_set.aus]
    rows = lines[1:]
    if not layout.numbered:
        rows = [f"{number},{row}" for number, row in enumerate(rows, layout.first_frame)]
    table = _numbered(path, rows, first_line=2, columns=len(header))
    values = [[row[column] for column in columns] for row in table.values()]
    return np.array(list(table), np.int64), _values(path, values, layout, first_line=2)


def read_columns(label_set: LabelSet, layout: RawLayout, files: Mapping[int, Path]) -> Coded:
    """Frame numbers (n,) and values (n, N) of one file per AU, which must all have the same frames."""
    missing = [au for au in label_set.aus if au not in files]
    if missing:
        some = next(iter(files.values()))
        raise DataError(f"'{some.parent}' has no file for AU {', '.join(map(str, missing))}, as {some.name}; add it")
    tables = {au: _numbered(files[au], _lines(files[au]), first_line=1, columns=1) for au in label_set.aus}
    first = tables[label_set.aus[0]]
    for au, table in tables.items():
        if list(table) != list(first):
            frame = min(table.keys() ^ first.keys())
            without = files[au] if frame not in table else files[label_set.aus[0]]
            raise DataError(
                f"{without} has no row for frame {frame}, which another AU's file beside it has "
                f"({number_of(len(table), 'row')} in {files[au].name}, {len(first):,} in "
                f"{files[label_set.aus[0]].name}); get the files again"
            )
    columns = [_values(files[au], list(table.values()), layout, first_line=1) for au, table in tables.items()]
    return np.array(list(first), np.int64), np.concatenate(columns, axis=1)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read: {error}; get it again") from None
    if not lines:
        raise DataError(f"'{path}' is empty; get it again")
    return lines


def _au_of(word: str) -> int | None:
    """12 of '12', 'AU12', ' au012 '."""
    found = re.fullmatch(r"(?:AU)?0*([0-9]+)", word.strip().strip('"'), re.IGNORECASE)
    return int(found[1]) if found else None


def _numbered(path: Path, lines: Iterable[str], first_line: int, columns: int) -> Table:
    """Frame number -> the rest of its row, numbers rising."""
    table: Table = {}
    last = -1
    for line, text in enumerate(lines, first_line):
        frame, *values = text.split(",")
        if len(values) != columns or not frame.strip().isdecimal():
            raise DataError(
                f"{path}, line {line}: expected a frame number and {number_of(columns, 'value')}, with commas "
                f"between; got '{text:.60}'; correct the line"
            )
        if int(frame) <= last:
            raise DataError(f"{path}, line {line}: frame {int(frame)} comes after frame {last}; numbers must rise")
        last = int(frame)
        table[last] = values
    return table


def _values(path: Path, rows: list[list[str]], layout: RawLayout, first_line: int) -> NDArray[np.int64]:
    """(n, columns) int64 of the words of every row."""
    words = {str(value): value for value in range(layout.highest + 1)}
    if layout.unknown is not None:
        words[str(layout.unknown)] = layout.unknown
    values = [[words.get(word.strip(), BAD) for word in row] for row in rows]
    array = np.array(values, np.int64).reshape(len(rows), -1)
    wrong = np.argwhere(array == BAD)
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{path}, line {first_line + row}: expected values of {', '.join(words)}; got '{rows[row][column]:.20}'; "
            "correct the line"
        )
    return array
