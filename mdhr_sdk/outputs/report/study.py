"""A report of many sources: finds the tables, writes a page for each and an index."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...atomic import write_whole
from ...errors import InputError, MDHRError
from ..collection import Results
from ..naming import JSONL, OVERLAY, PARQUET, STILL, TABLE, stems
from ..pictures.style import UNTRAINED, au_name
from ..tables.foreign import is_file, is_folder
from ..tables.reading import events_beside
from .page import FaceSummary, SourceSummary, render_page, summarise, template

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("mdhr_sdk")
INDEX = "index.html"
ENDS = (TABLE, PARQUET, JSONL)  # of the tables, the best first: a CSV file has its events beside it


@dataclass(frozen=True)
class Table:
    """A table that was found.

    Attributes:
        base: folder, and what the names of its source's files begin with.
        incomplete: its source broke off.
    """

    path: Path
    base: str
    incomplete: bool

    @property
    def has_events(self) -> bool:
        """Whether the events of its source are known, even if there was none."""
        return self.path.suffix == ".jsonl" or events_beside(self.path) is not None


def find_tables(places: Iterable[Path]) -> list[Table]:
    """The tables in folders, with those below, and those that are named; one for each source.

    Raises:
        InputError: a place that does not exist, or no table anywhere.
    """
    places = list(places)
    found: dict[Path, Table] = {}
    for place in places:
        if not (is_file(place) or is_folder(place)):
            raise InputError(f"there is no '{place}'; give a folder of results, or tables such as clip{TABLE}")
        files = [place] if is_file(place) else sorted(path for path in place.rglob("*") if not _hidden(path, place))
        for path in files:
            table = _table(path, place.is_file())
            if table is not None and not place.is_file() and not _inside(path):
                log.warning(
                    "'%s' is a link that leads out of its folder and is left out; name it to have it read", path
                )
            elif table is not None:
                key = Path(os.path.realpath(path.parent)) / Path(table.base).name  # by whatever way it was named
                found[key] = min(found.get(key, table), table, key=_rank)
    if not found:
        told = ", ".join(f"'{place}'" for place in places)
        raise InputError(f"there is no table in {told}; expected files such as clip{TABLE}, as mdhr detect writes them")
    return [found[key] for key in sorted(found)]


def _inside(path: Path) -> bool:
    """Whether a file lies where its folder says: by a link a page would hold pictures and scores of elsewhere."""
    return not path.is_symlink() or path.resolve().is_relative_to(path.parent.resolve())


def _hidden(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def _table(path: Path, named: bool) -> Table | None:
    for end in ENDS:
        head, tail = end.rsplit(".", 1)
        for ending, incomplete in ((end, False), (f"{head}.incomplete.{tail}", True)):
            if path.name.endswith(ending):
                return Table(path, path.name.removesuffix(ending), incomplete)
    return Table(path, path.stem, False) if named else None


def _rank(table: Table) -> tuple[bool, int]:
    ends = [end.rsplit(".", 1)[1] for end in ENDS]
    kind = table.path.suffix[1:]
    return table.incomplete, ends.index(kind) if kind in ends else len(ends)


def write_report(
    tables: Sequence[Table],
    out: Path,
    about: pd.DataFrame | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Path], list[MDHRError]]:
    """Write a page for each source and the index; returns the files, the index last, and what could not be read.

    Args:
        tables: of `find_tables`.
        out: folder of the pages.
        about: what is known of the sources: a column 'source' (its name, or as much of its end as is needed, with or
            without suffix: 'P01/a'; or the beginning of its files' names), and 'person', 'condition', or both; see
            `read_about`. A line that means several sources counts for none; the index says so.
        progress: called with the tables done and all of them.

    Raises:
        OutputError: a page cannot be written.
        MissingDependencyError: Jinja2 is not installed.
    """
    template("report_index.html")  # or an error before anything is read
    files: list[Path] = []
    errors: list[MDHRError] = []
    sources: list[tuple[SourceSummary, str]] = []
    index = (Path(INDEX).stem, "array")  # whose name no page may take
    names = stems([index, *((str(table.path.parent / table.base), "array") for table in tables)])[1:]
    for done, (table, stem) in enumerate(zip(tables, names, strict=True)):
        progress(done, len(tables))
        try:
            results = Results.from_file(table.path)
        except MDHRError as error:
            errors.append(error.with_traceback(None))
            continue
        for number, source in enumerate(results.sources):
            page = f"{stem}.html" if len(results.sources) == 1 else f"{stem}-{number + 1}.html"
            own = results.for_source(source)
            summary = summarise(own, page, table.incomplete, bool(results.events) or table.has_events)
            write_whole(out / page, render_page(own, summary, _overlay(table), INDEX))
            files.append(out / page)
            sources.append((summary, table.base))
    progress(len(tables), len(tables))
    if sources:
        write_whole(out / INDEX, _render_index(sources, about, errors))
        files.append(out / INDEX)
    return files, errors


def _overlay(table: Table) -> Path:
    names = [table.base + end for end in (OVERLAY, STILL)]
    return next(
        (path for name in names if (path := table.path.with_name(name)).is_file() and _inside(path)),
        Path(os.devnull),  # no file
    )


def read_about(path: Path) -> pd.DataFrame:
    """What is known of the sources: a CSV with the columns source and person, condition, or both.

    Raises:
        InputError: no such file, no CSV in UTF-8, or without these columns, or a source twice.
    """
    import pandas as pd

    if not is_file(path):
        raise InputError(f"there is no file '{path}'; give a CSV with the columns source, person, condition")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except UnicodeError:
        raise InputError(f"'{path}' is no text in UTF-8; save it as 'CSV UTF-8', as spreadsheets call it") from None
    except (ValueError, OSError) as error:
        raise InputError(f"'{path}' cannot be read as CSV: {str(error).strip()}") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first cells of each line for names of rows
        raise InputError(f"'{path}' has lines with more cells than its header names; put texts with commas into quotes")
    table.columns = table.columns.str.strip()
    if len(table.columns) == 1 and (other := next((mark for mark in ";\t" if mark in table.columns[0]), "")):
        raise InputError(f"'{path}' has its cells parted by {other!r} and not ','; save it as 'CSV UTF-8' with commas")
    table = table.apply(lambda cells: cells.str.strip())  # 'control ' is no other condition than 'control'
    table = table[(table != "").any(axis=1)]  # spreadsheets save empty lines as commas
    if "source" not in table.columns or not {"person", "condition"} & set(table.columns):
        raise InputError(
            f"'{path}' needs the columns source and person, condition, or both; got {', '.join(map(str, table))}"
        )
    if len(twice := table["source"][table["source"].duplicated()]):
        raise InputError(f"'{path}' tells of '{twice.iloc[0]}' twice; leave one line")
    return table


def _render_index(
    sources: Sequence[tuple[SourceSummary, str]], about: pd.DataFrame | None, errors: Sequence[MDHRError]
) -> str:
    rows = [] if about is None else cast("list[dict[str, str]]", about.to_dict("records"))
    known = {row["source"]: row for row in rows}
    meant = Counter(name for name, _ in {(_meant(one, base, known), one.name) for one, base in sources})
    several = sorted(name for name, count in meant.items() if name is not None and count > 1)
    known = {name: row for name, row in known.items() if name not in several}
    codes = list(dict.fromkeys(code for one, _ in sources for code in one.codes))
    faces = [(face, _known_of(one, base, known)) for one, base in sources for face in one.faces]
    people = list(
        _grouped(faces, codes, lambda face, row: (row.get("person", ""), f"{face.source}, face {face.track_id}"))
    )
    conditions = list(_grouped(faces, codes, lambda face, row: (row.get("condition", ""), ""))) if known else []
    unknown = sorted({one.name for one, base in sources if rows and not _known_of(one, base, known)})
    again = sorted(name for name, count in Counter(one.name for one, _ in sources).items() if count > 1)
    taken = [_known_of(one, base, known).get("source") for one, base in sources]
    return str(template("report_index.html").render(
        sources=[one for one, _ in sources], people=people, conditions=conditions, codes=codes,
        names={code: au_name(code) for code in codes}, errors=[str(error) for error in errors], unknown=unknown,
        several=several, again=again,
        unused=sorted(known.keys() - set(taken)), strong=any(one.model.intensities for one, _ in sources),
        untrained=UNTRAINED if any(not one.model.trained for one, _ in sources) else "",
        models=sorted({one.model.details for one, _ in sources}),
    ))  # fmt: skip


def _known_of(source: SourceSummary, base: str, known: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    name = _meant(source, base, known)
    return {} if name is None else known[name]


def _meant(source: SourceSummary, base: str, known: Mapping[str, Mapping[str, str]]) -> str | None:
    """Which of the known names means a source: the longest end of its path, with or without its suffix."""
    path = Path(source.name)
    ends = (Path(*path.parts[start:]) for start in range(len(path.parts)))
    names = (str(name) for end in ends for name in (end, end.with_suffix("") if end.name else end))
    return next((name for name in (source.name, *names, base) if name in known), None)


def _grouped(
    faces: Sequence[tuple[FaceSummary, Mapping[str, str]]],
    codes: Sequence[str],
    key: Callable[[FaceSummary, Mapping[str, str]], tuple[str, str]],
) -> Iterator[dict[str, Any]]:
    """One row a group, its faces weighted by their frames; a face of no known group is one of its own, or left out."""
    groups: dict[str, list[FaceSummary]] = {}
    for face, row in faces:
        told, otherwise = key(face, row)
        if told or otherwise:
            groups.setdefault(told or otherwise, []).append(face)
    for name in sorted(groups):
        own = groups[name]
        values = {
            kind: {code: _mean([(getattr(face, kind).get(code), face.frames) for face in own]) for code in codes}
            for kind in ("mean", "share", "per_minute", "intensity")
        }
        yield {"name": name, "faces": len(own), "frames": sum(face.frames for face in own), **values}


def _mean(pairs: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None]
    return float(np.average([v for v, _ in known], weights=[w for _, w in known])) if known else None
