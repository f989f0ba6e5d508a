"""Coding by onset and offset: one table with a row an expression, as of CASME II.

A CSV file with a header and the columns Subject, Filename (the video), OnsetFrame, OffsetFrame and 'Action Units', as
in '4+L10' (sides are passed over, and so is what is no number, as '?'). From onset to offset, both included, the AUs of
the row occur and all others do not; other frames are coded by nobody and are not listed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...aus import LabelSet
from ...errors import DataError
from .spec import RawLayout

COLUMNS = ("Subject", "Filename", "OnsetFrame", "OffsetFrame", "Action Units")


class Span(NamedTuple):
    """AUs that occur from the first to the last frame, both included."""

    first: int
    last: int
    aus: frozenset[int]


def read_spans(layout: RawLayout, raw: Path) -> dict[tuple[str, str], list[Span]]:
    """(subject, video) -> its expressions, in the order of the table.

    Raises:
        DataError: the table is missing or a row is wrong.
    """
    path = raw / layout.spans
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read: {error}; save the table of codes there, as CSV in UTF-8") from None
    rows = csv.DictReader(text.splitlines())
    if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
        raise DataError(f"{path}, line 1: no column {', '.join(missing)}; the header must have {', '.join(COLUMNS)}")
    found: dict[tuple[str, str], list[Span]] = {}
    for row in rows:
        subject, video, *frames, aus = (str(row[name] or "").strip() for name in COLUMNS)
        if not subject and not video:
            continue  # a line of commas, with which exported tables end
        rising = all(frame.isdecimal() for frame in frames) and int(frames[0]) <= int(frames[1])
        if not (rising and subject and video):
            raise DataError(
                f"{path}, line {rows.line_num}: expected a subject, a video, and numbers of frames that rise; got "
                f"'{','.join((subject, video, *frames)):.80}'; correct the line"
            )
        subject = subject.zfill(2) if subject.isdecimal() else subject  # spreadsheets drop the 0 of '01'
        span = Span(int(frames[0]), int(frames[1]), frozenset(map(int, re.findall(r"\d+", aus))))
        found.setdefault((subject, video), []).append(span)
    if not found:
        raise DataError(f"'{path}' has a header and no rows; get it again")
    return found


def frames_of(label_set: LabelSet, spans: Sequence[Span]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Numbers (n,) of the coded frames, rising, and labels (n, N) of 0 and 1; where two spans meet, the AUs of both."""
    numbers = sorted({number for span in spans for number in range(span.first, span.last + 1)})
    labels = np.zeros((len(numbers), len(label_set.aus)), np.int8)
    places = {number: row for row, number in enumerate(numbers)}
    for span in spans:
        for column, au in enumerate(label_set.aus):
            if au in span.aus:
                labels[places[span.first] : places[span.last] + 1, column] = 1
    return np.array(numbers, np.int64), labels
