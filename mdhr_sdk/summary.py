"""Statistics that studies begin with, from the tables of results: how often, how strong, what together, who with whom.

Every function takes a pandas DataFrame as `Results.to_dataframe()` gives it, or `pandas.read_csv` of a `*_aus.csv`;
onsets are those of `*_events.csv`. A row counts if it shows a face and its scores say something: frames without a face
and the neutral seconds do not. `trusted=True` counts only the rows whose status is 'ok'. An empty cell of an AU counts
neither for nor against it; one that holds something else than its number is an error. Scores of several models in one
group are taken together, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .arguments import flag, is_number
from .errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FACE = ("source", "track_id")
SILENT = ("no_face", "low_quality", "stale", "neutral")  # statuses of rows whose scores do not count
SHIFTS = 199  # of one face's onsets, around the recording, that tell how many meet by chance
GOLDEN = 0.6180339887498949  # steps of this share of the recording are even, and in time with nothing
Measure = Literal["jaccard", "phi", "share"]
log = logging.getLogger("mdhr_sdk")
# Which numbers a kind of column may hold, in words and as a test of an array.
KINDS: dict[str, tuple[str, Callable[[NDArray[np.float64]], NDArray[np.bool_]]]] = {
    "_occurrence": ("0 or 1", lambda values: np.isin(values, (0, 1))),
    "_probability": ("0 to 1", lambda values: (values >= 0) & (values <= 1)),
    "_intensity": ("0 to 5", lambda values: (values >= 0) & (values <= 5)),
    "onset_cut": ("0 or 1", lambda values: np.isin(values, (0, 1))),
    "onset_s": ("seconds", np.isfinite),
}


def occurrence_rate(table: pd.DataFrame, by: Sequence[str] = FACE, trusted: bool = False) -> pd.DataFrame:
    """Share of frames in which each AU occurs, 0 to 1.

    Args:
        table: of results.
        by: columns that make a group, by default each face of each source. Your own do too, as 'condition'. Rows
            without a value there make a group called NaN.
        trusted: count only rows of status 'ok'.

    Returns:
        A row a group, with `frames`, the number of rows that count, and a column an AU.

    Raises:
        InputError: columns are missing.
        ConfigError: `trusted` is neither True nor False.
    """
    return _means(table, "_occurrence", by, trusted)


def mean_probability(table: pd.DataFrame, by: Sequence[str] = FACE, trusted: bool = False) -> pd.DataFrame:
    """Mean probability of each AU, 0 to 1; arguments and result as `occurrence_rate`."""
    return _means(table, "_probability", by, trusted)


def mean_intensity(table: pd.DataFrame, by: Sequence[str] = FACE, trusted: bool = False) -> pd.DataFrame:
    """Mean intensity of each AU that has one, 0 to 5; arguments and result as `occurrence_rate`.

    Raises:
        InputError: the table has no intensities: not every model gives them.
    """
    return _means(table, "_intensity", by, trusted)


def co_occurrence(table: pd.DataFrame, measure: Measure = "jaccard", trusted: bool = False) -> pd.DataFrame:
    """How often two AUs occur in the same frame of the same face, over all rows that count.

    Args:
        table: of results.
        measure: 'jaccard', frames with both over frames with either, NaN if there are none; 'phi', the correlation of
            the two decisions, NaN where one never changes; 'share', frames with both over all.
        trusted: count only rows of status 'ok'.

    Returns:
        (N, N) with the AUs as rows and columns.

    Raises:
        InputError: columns are missing, or another measure.
    """
    import pandas as pd

    rows = _counted(table, trusted)
    names = _columns(rows, "_occurrence")
    _warn_mixed(rows, ())
    told = _numbers(rows, list(names), "_occurrence")
    known, occurs = np.isfinite(told).astype(np.float64), np.nan_to_num(told)
    both, count = occurs.T @ occurs, known.T @ known
    own = occurs.T @ known  # of the rows in which the other AU has a value too
    with np.errstate(invalid="ignore", divide="ignore"):
        if measure == "jaccard":
            values = both / (own + own.T - both)
        elif measure == "phi":
            spread = own * (count - own)
            values = (count * both - own * own.T) / np.sqrt(spread * spread.T)
        elif measure == "share":
            values = both / count
        else:
            raise InputError(f"measure must be jaccard, phi or share; got {measure!r}")
    return pd.DataFrame(values, index=list(names.values()), columns=list(names.values()))


def onset_synchrony(
    events: pd.DataFrame,
    first: tuple[str, int],
    second: tuple[str, int],
    window_s: float = 0.5,
    duration_s: float | None = None,
) -> pd.DataFrame:
    """Whether two faces begin the same AU at the same time, and who begins.

    Each onset of the one goes with at most one of the other, the nearest pairs first. Events that are cut at the
    recording's beginning have no known onset and do not count, nor do empty cells.

    Args:
        events: of `*_events.csv`.
        first, second: (source, track id) of the two faces. Two sources must share their clock.
        window_s: longest time between two onsets that belong together.
        duration_s: of the recording, from 0 to its end; None to leave `by_chance` empty.

    Returns:
        A row an AU that either shows: `first` and `second`, their onsets; `together`; `share`, twice that over both;
        `lag_s`, the mean of second less first, positive where the second face follows; `by_chance`, the mean share
        when the second face's onsets are moved around the recording, 199 times.

    Raises:
        InputError: columns are missing, the window or duration is no number above 0, or an onset of the two comes after
            the duration.
    """
    import pandas as pd

    lengths = (window_s,) if duration_s is None else (window_s, duration_s)
    if not all(is_number(one) and one > 0 for one in lengths):
        raise InputError(f"window_s and duration_s must be above 0; got {window_s!r} and {duration_s!r}")
    whole = _known_onsets(events, first, second)
    if duration_s is not None and len(late := whole["onset_s"][whole["onset_s"] > duration_s]):
        raise InputError(f"duration_s is {duration_s:g}, and an onset comes at {late.iloc[0]:g} s; give a later end")
    rows = {}
    for au in sorted(whole["au"].unique()):
        one, other = (_onsets(whole, face, au) for face in (first, second))
        lags = _paired(one, other, window_s)
        share = 2 * len(lags) / (len(one) + len(other))
        rows[au] = {"first": len(one), "second": len(other), "together": len(lags), "share": share}
        rows[au]["lag_s"] = float(np.mean(lags)) if len(lags) else np.nan
        rows[au]["by_chance"] = np.nan if duration_s is None else _chance(one, other, window_s, duration_s)
    names = ["first", "second", "together", "share", "lag_s", "by_chance"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def _check_table(table: pd.DataFrame) -> None:
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"expected a pandas DataFrame; got a {type(table).__name__}; give results.to_dataframe(), or read_csv"
        )
    if twice := [str(name) for name in table.columns[table.columns.duplicated()]]:
        raise InputError(f"expected each column once; got {twice[0]} several times; leave one")


def _counted(table: pd.DataFrame, trusted: bool) -> pd.DataFrame:
    _check_table(table)
    for name in ("status", "track_id"):
        if name not in table.columns:
            raise InputError(f"expected a table of results; got one without the column {name}; read a *_aus.csv")
    counts = table["status"].eq("ok") if flag("trusted", trusted) else ~table["status"].isin(SILENT)
    return table[counts & table["track_id"].notna()]


def _columns(table: pd.DataFrame, end: str) -> dict[str, str]:
    """Column -> AU."""
    texts = [name for name in table.columns if isinstance(name, str)]
    found = {name: name.removesuffix(end) for name in texts if name.startswith("AU") and name.endswith(end)}
    if not found:
        raise InputError(f"expected columns as AU12{end}; got none; not every table has them")
    return found


def _numbers(rows: pd.DataFrame, names: Sequence[str], kind: str) -> NDArray[np.float64]:
    """(rows, columns) as numbers of their kind, NaN where a cell is empty.

    Raises:
        InputError: a cell holds something else.
    """
    allowed, right = KINDS[kind]
    values = np.empty((len(rows), len(names)))
    for place, name in enumerate(names):
        try:
            values[:, place] = rows[name].astype("float64")
        except (TypeError, ValueError):
            raise InputError(
                f"expected {allowed} in the column {name}; got {rows[name].iloc[0]!r:.40} or others; read numbers"
            ) from None
        wrong = values[:, place][~(np.isnan(values[:, place]) | right(values[:, place]))]
        if len(wrong):
            raise InputError(f"expected {allowed} in the column {name}; got {wrong[0]:g}; read a table of ours")
    return values


def _warn_mixed(rows: pd.DataFrame, by: Sequence[str]) -> None:
    """Scores of two models are no scores of one; a mean over both says nothing of either."""
    if "model" in rows.columns and "model" not in by and (count := rows["model"].nunique()) > 1:
        log.warning("the table has scores of %d models, which are taken together; group by 'model' too", count)


def _means(table: pd.DataFrame, end: str, by: Sequence[str], trusted: bool) -> pd.DataFrame:
    rows = _counted(table, trusted)
    names = _columns(rows, end)
    by = [by] if isinstance(by, str) else list(by) if isinstance(by, Iterable) else [by]
    if missing := [name for name in by if name not in rows.columns]:
        raise InputError(
            f"expected the column {missing[0]} to group by; got {', '.join(map(str, table.columns[:8]))}, ..."
        )
    if not by or len(set(by)) < len(by):
        raise InputError(
            f"expected one or more columns to group by, each once; got {by}; ['source'] is one group a source"
        )
    _warn_mixed(rows, by)
    values = dict(zip(names, _numbers(rows, list(names), end).T, strict=True))
    groups = rows.assign(**{name: one for name, one in values.items() if name not in by}).groupby(
        by, sort=True, dropna=False, observed=True
    )
    means = groups[list(names)].mean().rename(columns=names)
    means.insert(0, "frames", groups.size())
    return means.astype(dict.fromkeys(names.values(), "float64"))


def _known_onsets(events: pd.DataFrame, first: tuple[str, int], second: tuple[str, int]) -> pd.DataFrame:
    """The events of two faces whose onsets were seen."""
    needed = ("source", "track_id", "au", "onset_s", "onset_cut")
    _check_table(events)
    if missing := [name for name in needed if name not in events.columns]:
        raise InputError(f"events need the columns {', '.join(needed)}; got none called {missing[0]}")
    for face in (first, second):
        if not (isinstance(face, tuple | list) and len(face) == 2 and is_number(face[1])):
            raise InputError(f"a face is (source, track id), as ('clip.mp4', 0); got {face!r}")
    if tuple(first) == tuple(second):
        raise InputError(f"expected two faces; got {first!r} twice")
    ours = [(events["source"] == source) & (events["track_id"] == track) for source, track in (first, second)]
    for (source, track), has in zip((first, second), ours, strict=True):
        if not has.any():
            log.warning(
                "no event is of face %s of '%s'; if it has some, look how the events call the source: %s",
                track, source, ", ".join(map(str, events["source"].unique()[:4])) or "there is none",
            )  # fmt: skip
    own = events[(ours[0] | ours[1]) & events["onset_s"].notna()]
    cut, onset_s = (_numbers(own, [name], name)[:, 0] for name in ("onset_cut", "onset_s"))
    if np.isnan(cut).any():
        raise InputError("expected 0 or 1 in the column onset_cut; got an empty cell; read a *_events.csv")
    return own.assign(onset_s=onset_s)[cut == 0]


def _onsets(events: pd.DataFrame, face: tuple[str, int], au: str) -> NDArray[np.float64]:
    own = events[(events["source"] == face[0]) & (events["track_id"] == face[1]) & (events["au"] == au)]
    return np.sort(own["onset_s"].to_numpy(np.float64))


def _paired(one: NDArray[np.float64], other: NDArray[np.float64], window_s: float) -> NDArray[np.float64]:
    """Lags of the pairs, the nearest first, each onset once."""
    lags = other[None] - one[:, None]
    near = np.argwhere(np.abs(lags) <= window_s)
    order = np.argsort(np.abs(lags[near[:, 0], near[:, 1]]), kind="stable")
    taken: tuple[set[int], set[int]] = (set(), set())
    found = []
    for i, j in near[order].tolist():
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            found.append(lags[i, j])
    return np.array(found)


def _chance(one: NDArray[np.float64], other: NDArray[np.float64], window_s: float, duration_s: float) -> float:
    steps = np.arange(1, SHIFTS + 1) * GOLDEN % 1 * duration_s
    counts = [len(_paired(one, np.sort((other + step) % duration_s), window_s)) for step in steps]
    return float(2 * np.mean(counts) / (len(one) + len(other)))
