"""Tables of results that anybody may have written: what is refused before a library reads it, and what a number is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .parquet import KEY, LANDMARKS, TEXTS, import_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

MIB = 1 << 20
MOST_BYTES = 4 << 30  # of a table of text
MOST_LINE = MIB
MOST_COLUMNS = 1000
FEW, CELLS_A_BYTE = 10**6, 4  # an empty cell takes a comma; but names may hold line ends
ROWS_A_BYTE = 4  # more than any table of ours holds: each row has a time of its own
# What libraries and this package raise of contents that are none of ours.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, AssertionError)


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """What cannot be read becomes an InputError of one line."""
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"'{path}' is no table of results: {reason}; give one that mdhr_sdk wrote") from None


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:  # as of a name that is too long
        return False


def is_folder(path: Path) -> bool:
    """As `is_file`, for a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_text(path: Path, rows: bool) -> None:
    """Refuse a text whose lines no table of ours has: a small file of them can stand for billions of values.

    Args:
        rows: it is CSV, whose rows are as long as its header.

    Raises:
        InputError: says what is wrong.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"'{path}' has {size:,} bytes, and tables of at most {MOST_BYTES:,} are read; split it")
    since = lines = 0
    with path.open("rb") as file:
        wide = file.readline(MOST_LINE).count(b",")
        while block := file.read(MIB):
            first, last = block.find(b"\n"), block.rfind(b"\n")
            since += len(block) if first < 0 else first
            if since > MOST_LINE or b"\0" in block:
                raise InputError(f"'{path}' is no table of results: it is no text with lines; give one of ours")
            since = since if last < 0 else len(block) - 1 - last
            lines += block.count(b"\n")
    if rows and (wide > MOST_COLUMNS or lines * wide > FEW + CELLS_A_BYTE * size):
        what = f"{wide + 1:,} columns" if wide > MOST_COLUMNS else "rows shorter than its header"
        raise InputError(f"'{path}' is no table of results: it has {what}; give one that mdhr_sdk wrote")


def read_parquet(path: Path) -> tuple[pa.Table, bytes | None]:
    """A Parquet file's table, and what it tells of the model.

    Raises:
        InputError: it cannot be read, or claims more than such a file can hold.
    """
    pa, parquet = import_pyarrow(), import_pyarrow("pyarrow.parquet")
    try:
        texts = [name for name in parquet.read_schema(path).names if name in TEXTS]  # others would be an error
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            _check_sizes(path, file)
            return file.read(use_threads=False), (file.schema_arrow.metadata or {}).get(KEY)
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputError(f"'{path}' cannot be read: {reason}; it may have been cut off; run its source again") from None


def _check_sizes(path: Path, file: Any) -> None:
    """A value that repeats takes no place in Parquet."""
    pa, most, told = import_pyarrow(), ROWS_A_BYTE * path.stat().st_size, file.metadata
    values = {
        told.row_group(group).column(column).num_values
        for group in range(min(told.num_row_groups, most))
        for column in range(told.num_columns)
    }
    plain = all(
        pa.types.is_primitive(one.type) or pa.types.is_string(one.type) or pa.types.is_dictionary(one.type)
        or (one.name == LANDMARKS and pa.types.is_list(one.type) and pa.types.is_floating(one.type.value_type))
        for one in file.schema_arrow
    )  # fmt: skip
    if told.num_columns > MOST_COLUMNS or told.num_rows > most or max(values, default=0) > most or not plain:
        raise InputError(
            f"'{path}' is no table of results: {told.num_rows:,} rows of {told.num_columns:,} columns are more, or of "
            "other kinds, than it can hold; give one that mdhr_sdk wrote"
        )


def au_code(text: Any) -> str:
    """The code of an AU, as 'AU12'."""
    if not isinstance(text, str) or not re.fullmatch(r"AU[0-9]{2,3}", text):
        raise ValueError(f"{text!r:.80} where the code of an AU belongs")
    return text


def number(value: Any) -> float:
    """A number; NaN where none is told."""
    return math.nan if value is None else float(value)


def finite(value: Any) -> float:
    """A number that is one."""
    if not math.isfinite(found := float(value)):
        raise ValueError(f"{value!r:.80} where a finite number belongs")
    return found


def whole(value: Any) -> int:
    """A whole number of at most 63 bits."""
    found = float(value)
    if not found.is_integer() or abs(found) >= 1 << 63:
        raise ValueError(f"{value!r:.80} where a whole number belongs")
    return int(value)


def count(value: Any) -> int:
    """A whole number of at least 0."""
    if (found := whole(value)) < 0:
        raise ValueError(f"{value!r:.80} where a number of at least 0 belongs")
    return found
