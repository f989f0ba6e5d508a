"""The tables of a video's parts as those of one run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..outputs.naming import EVENTS, TABLE
from ..plain_json import parsed
from .parts import BOUNDS
from .places import Place

Row = list[str]


@dataclass(frozen=True)
class Piece:
    """What a part left: where it begins and ends, its rows, and the counts of its `Outcome`."""

    begin: int
    end: int | None
    counts: Mapping[str, Any]
    header: Row
    rows: list[Row]
    events_header: Row
    events: list[Row]

    def at(self, frame: int) -> list[Row]:
        """The rows of a frame."""
        place = self.header.index("frame")
        return [row for row in self.rows if int(row[place]) == frame]

    def mine(self, rows: Sequence[Row], column: int) -> list[Row]:
        """Those of the rows whose frame lies in the part."""
        end = math.inf if self.end is None else self.end
        return [row for row in rows if self.begin <= int(row[column]) < end]


@dataclass(frozen=True)
class Joined:
    """The tables of a whole video.

    Attributes:
        texts: end of the file's name -> content.
        frames, with_face: frames, and those with a face.
        tracks: ids of the faces.
        counts: of the parts' outcomes.
    """

    texts: dict[str, str]
    frames: int
    with_face: int
    tracks: frozenset[int]
    counts: tuple[Mapping[str, Any], ...]


def joined(place: Place, bases: Sequence[str]) -> Joined | str:
    """Join the tables of parts, in order; a text says why they do not fit, so that the video must be read as one.

    Args:
        bases: what the names of each part's files begin with.
    """
    try:
        pieces = [piece for base in bases if (piece := _piece(place, base)) is not None]
        return _joined(pieces)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"the tables of a part cannot be read: {error}"


def _joined(pieces: Sequence[Piece]) -> Joined | str:
    table, events, shift = list[Row](), list[Row](), 0
    for number, piece in enumerate(pieces):
        if number:
            before = pieces[number - 1]
            found = _shift(before, piece)
            if isinstance(found, str):
                return found
            shift += found
        table += _shifted(piece.mine(piece.rows, piece.header.index("frame")), piece.header.index("track_id"), shift)
        onset, track = (piece.events_header.index(name) for name in ("onset_frame", "track_id"))
        events += _shifted(piece.mine(piece.events, onset), track, shift)
    if not pieces or pieces[-1].end is not None:
        return "no part goes to its end"
    first = pieces[0]
    frame, track = first.header.index("frame"), first.header.index("track_id")
    return Joined(
        {TABLE: _text([first.header, *table]), EVENTS: _text([first.events_header, *events])},
        len({row[frame] for row in table}), len({row[frame] for row in table if row[track]}),
        frozenset(int(row[track]) for row in table if row[track]), tuple(piece.counts for piece in pieces),
    )  # fmt: skip


def _shift(before: Piece, after: Piece) -> int | str:
    """What is to be added to the tracks' numbers of a part; both have the frame at which it begins."""
    if before.end != after.begin:
        return f"one part ends at frame {before.end}, and the next one begins at {after.begin}"
    track = before.header.index("track_id")
    ours, theirs = before.at(after.begin), after.at(after.begin)
    shifts = {int(one[track]) - int(other[track]) for one, other in zip(ours, theirs, strict=False)}
    same = [[*row[:track], *row[track + 1 :]] for row in ours] == [[*row[:track], *row[track + 1 :]] for row in theirs]
    return shifts.pop() if same and len(shifts) == 1 else f"two parts read frame {after.begin} differently"


def _shifted(rows: Sequence[Row], column: int, shift: int) -> Iterator[Row]:
    for row in rows:
        yield [*row[:column], str(int(row[column]) + shift) if row[column] else "", *row[column + 1 :]]


def _piece(place: Place, base: str) -> Piece | None:
    """What a part left; None if there was no safe cut in its time."""
    bounds = parsed(place.read(f"{base}{BOUNDS}") or b"{}")
    if bounds.get("begin") is None:
        return None
    (header, *rows), (events_header, *events) = (_rows(place, f"{base}{end}") for end in (TABLE, EVENTS))
    return Piece(bounds["begin"], bounds["end"], bounds["counts"], header, rows, events_header, events)


def _rows(place: Place, name: str) -> list[Row]:
    text = (place.read(name) or b"").decode("utf-8")
    return list(csv.reader(io.StringIO(text, newline=""))) or [[]]


def _text(rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
