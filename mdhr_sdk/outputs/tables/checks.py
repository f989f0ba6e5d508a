"""What no run wrote in tables and lines of results: edited, joined or sorted ones would make other results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from ...measures import FaceMeasures
from ...results import FrameResult

if TYPE_CHECKING:
    import pandas as pd

FACELESS = ("no_face", "low_quality", "stale")  # statuses
WITH_FACE = ("ok", "neutral", "no_baseline", "too_small", "turned_away", "blurred", "cut_off")


def check_rows(table: pd.DataFrame) -> None:
    """Refuse rows that no run wrote so: sorted or pasted ones would make other videos. Raises ValueError."""
    faceless, states = table["track_id"].isna(), table["status"]
    for wrong, told in (
        (~states.isin((*FACELESS, *WITH_FACE)), "is a status that this version does not know"),
        (faceless != states.isin(FACELESS), "has a status that does not go with its track_id"),
        (table.duplicated(["source", "frame", "track_id"]), "tells of a face a second time"),
        (
            table.groupby("source", sort=False, dropna=False)["frame"].diff() < 0,
            "comes after a later frame: sort by frame",
        ),
        (
            table.groupby(["source", "frame"], dropna=False)["timestamp_s"].transform("nunique") > 1,
            "has another time than the rows of its frame before it",
        ),
    ):
        if wrong.any():
            row = table[wrong].iloc[0]
            raise ValueError(
                f"the row of frame {row['frame']} of '{row['source']:.80}', status '{row['status']}', {told}"
            )


def one_model(texts: Iterable[object]) -> str:
    """The model that all rows tell; ValueError for several, as in a table that was put together of two."""
    first, *others = dict.fromkeys(map(str, texts))
    if others:
        raise ValueError(f"its rows are of several models, '{first:.60}' and '{others[0]:.60}'; make a table for each")
    return first


def check_order(frame: FrameResult, last: dict[str, int]) -> None:
    """Refuse what `check_rows` refuses in tables; `last` holds source -> its frame before, and gets this one."""
    if frame.index <= last.get(frame.source, -1):
        raise ValueError(f"frame {frame.index} of '{frame.source:.80}' comes after frame {last[frame.source]}")
    if len({face.track_id for face in frame.faces}) < len(frame.faces):
        raise ValueError(f"frame {frame.index} of '{frame.source:.80}' tells of a face a second time")
    last[frame.source] = frame.index


def is_known(value: object) -> bool:
    """Whether it is a number, and not NaN."""
    return isinstance(value, float | int) and value == value


def is_score(probability: object, occurrence: object, strength: object) -> bool:
    """Whether a model can have given this; an intensity may be missing."""
    return (
        is_known(probability) and 0 <= cast("float", probability) <= 1 and occurrence in (0, 1)
        and (strength is None or (is_known(strength) and 0 <= cast("float", strength) <= 5))
    )  # fmt: skip


def within(measures: FaceMeasures) -> FaceMeasures:
    """Measures whose quality is one; ValueError for others."""
    if not 0 <= measures.quality <= 1:
        raise ValueError(f"expected 0 to 1 for the quality of a face; got {measures.quality:g}")
    return measures
