"""Our tables read back: the native CSV, Parquet and JSON Lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from ...atomic import incomplete
from ...errors import InputError
from ...measures import MEASURES, FaceMeasures
from ...plain_json import MOST_BYTES, parsed
from ...results import AUEvent, AUScore, Baseline, Ending, FaceResult, FrameResult, ModelInfo
from ..naming import EVENTS, PARQUET, TABLE
from ..table import BLOCK, BOX, event_columns
from .checks import check_order, check_rows, is_known, is_score, one_model, within
from .foreign import UNREADABLE, au_code, check_text, count, finite, is_file, number, read_parquet, refused, whole
from .modelinfo import model_of_text, model_of_values

if TYPE_CHECKING:
    import pandas as pd

BASELINES: dict[str, Baseline] = {"neutral": "neutral", "no_baseline": "missing"}
NEEDED = ("source", "frame", "timestamp_s", "status", "track_id", *BOX)
INTENSITY = "_intensity"
BOM = b"\xef\xbb\xbf"  # which editors put before a text
Kind = Literal["csv", "parquet", "jsonl"]


@dataclass(frozen=True, eq=False)
class Read:
    """What a file holds, as `Results` takes it."""

    frames: tuple[FrameResult, ...]
    model: ModelInfo
    codes: tuple[str, ...]


def read_results(path: Path) -> Read:
    """Read a table of ours; see `Results.from_file`."""
    kind = _kind_of(path)
    if kind != "parquet":
        check_text(path, rows=kind == "csv")
    with refused(path):
        return _of_lines(path) if kind == "jsonl" else _of_table(path, kind)


def _of_table(path: Path, kind: Kind) -> Read:
    table, model = _parquet(path) if kind == "parquet" else _csv(path)
    missing = [name for name in NEEDED if name not in table.columns]
    if missing or not len(table):
        told = f"it lacks {', '.join(missing)}" if missing else "it has no row"
        raise InputError(f"'{path}' is no table of results: {told}; give a file that mdhr_sdk wrote")
    check_rows(table)
    codes = tuple(au_code(name.removesuffix("_occurrence")) for name in table.columns if name.endswith("_occurrence"))
    model = replace(model, intensities=tuple(code for code in codes if f"{code}{INTENSITY}" in table.columns))
    beside = events_beside(path)
    events = () if beside is None else read_events(beside)
    return Read(tuple(_frames(table, codes, model, events)), model, codes)


def events_beside(path: Path) -> Path | None:
    """The table of events beside a table of results, incomplete as that one is; None if there is none."""
    for end in (TABLE, PARQUET):
        for ending, events in ((end, EVENTS), (incomplete(Path(end)).name, incomplete(Path(EVENTS)).name)):
            if path.name.endswith(ending):
                found = path.with_name(path.name.removesuffix(ending) + events)
                return found if found.is_file() else None
    return None


def read_events(path: Path) -> tuple[AUEvent, ...]:
    """The events of a table of `EventsSink`.

    Raises:
        InputError: it is no such table.
    """
    import pandas as pd

    check_text(path, rows=True)
    with refused(path):
        table = pd.read_csv(path, dtype={"source": str, "au": str, "model": str}, keep_default_na=False)
        return tuple(_events(path, table))


def _events(path: Path, table: pd.DataFrame) -> Iterator[AUEvent]:
    if list(table.columns) not in (event_columns(False), event_columns(True)):
        raise InputError(f"'{path}' is no table of events; give one that mdhr_sdk wrote")
    for row in _rows(table.drop(columns="model")):
        yield _event(row)


def _rows(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Column -> value of each row; a few at a time, since such a row takes ten times its place in the table."""
    for begin in range(0, len(table), BLOCK):
        yield from cast("list[dict[str, Any]]", table.iloc[begin : begin + BLOCK].to_dict("records"))


def _kind_of(path: Path) -> Kind:
    if not is_file(path):
        raise InputError(f"there is no file '{path}'; give a table of results: .csv, .parquet or .jsonl")
    with path.open("rb") as file:
        begin = file.read(4)
    return "parquet" if begin == b"PAR1" else "jsonl" if begin.removeprefix(BOM)[:1] == b"{" else "csv"


def _csv(path: Path) -> tuple[pd.DataFrame, ModelInfo]:
    import pandas as pd

    texts = ("source", "status", "note", "model", "captured_at")
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    if list(table.columns) in (event_columns(False), event_columns(True)):
        raise InputError(f"'{path}' is a table of events; give the table of results beside it, *{TABLE}")
    if "model" not in table.columns or not len(table):
        first = str(table.columns[0]) if len(table.columns) == 1 else ""
        other = next((mark for mark in ";\t" if mark in first), None)  # as spreadsheets save where commas are decimal
        told = "it has no row" if "model" in table.columns else "no model is told"
        told = told if other is None else f"its cells are parted by {other!r} and not ','"
        raise InputError(f"'{path}' is no table of results: {told}; give one that mdhr_sdk wrote")
    if len(again := table.index[table["model"] == "model"]):
        raise InputError(f"'{path}' has its header again in row {again[0] + 2}; join tables without the later headers")
    return table, model_of_text(one_model(table["model"].unique()))


def _parquet(path: Path) -> tuple[pd.DataFrame, ModelInfo]:
    table, about = read_parquet(path)
    if about is None:
        raise InputError(f"'{path}' is no table of results: no model is told; give one that mdhr_sdk wrote")
    return table.to_pandas(), model_of_values(parsed(about)["model"])


def _frames(
    table: pd.DataFrame, codes: Sequence[str], model: ModelInfo, events: Sequence[AUEvent]
) -> Iterator[FrameResult]:
    endings: dict[str, Ending] = {}
    rows: list[dict[str, Any]] = []
    for row in _rows(table):
        if rows and (row["source"], row["frame"]) != (rows[-1]["source"], rows[-1]["frame"]):
            yield _frame(rows, codes, model, events, endings)
            rows = []
        rows.append(row)
    yield _frame(rows, codes, model, events, endings)


def _frame(
    rows: Sequence[Mapping[str, Any]],
    codes: Sequence[str],
    model: ModelInfo,
    events: Sequence[AUEvent],
    endings: dict[str, Ending],
) -> FrameResult:
    first = rows[0]
    source = str(first["source"])
    if source not in endings:
        endings[source] = Ending(events=tuple(event for event in events if event.source == source))
    faces = tuple(_face(row, codes, model) for row in rows if row["track_id"] == row["track_id"])  # not NaN
    at, live = str(first.get("captured_at")), isinstance(first.get("captured_at"), str)
    return FrameResult(
        source, count(first["frame"]), finite(first["timestamp_s"]), faces, model,
        note=_text(first.get("note")), untrusted=int(first["status"] == "low_quality"),
        delay_ms=float(first["delay_ms"]) if live else 0.0, dropped=int(first["dropped"]) if live else 0,
        captured_at=datetime.fromisoformat(at.replace("Z", "+00:00")) if live else None,
        stale=first["status"] == "stale", faces_seen=len(faces), ending=endings[source],
    )  # fmt: skip


def _face(row: Mapping[str, Any], codes: Sequence[str], model: ModelInfo) -> FaceResult:
    aus = {code: _au(row, code) for code in codes}
    status = str(row["status"])
    baseline = BASELINES.get(status, "applied" if model.neutral_s else "off")
    x0, y0, x1, y1 = (finite(row[name]) for name in BOX)
    measures = None
    if is_known(row.get("quality")):
        values: dict[str, Any] = {name: float(row[name]) if is_known(row.get(name)) else math.nan for name in MEASURES}
        reason = "" if status == "ok" or status in BASELINES else status
        measures = within(FaceMeasures(**values, reason=reason))
    mesh = row.get("landmarks_px")
    points = np.empty((0, 3), np.float32)
    if mesh is not None and np.size(mesh) == 3 * 478:  # the 68 of iBUG are not a mesh
        points = np.asarray(mesh, np.float32).reshape(-1, 3)
    return FaceResult(count(row["track_id"]), (x0, y0, x1, y1), points, aus, baseline, measures)


def _au(row: Mapping[str, Any], code: str) -> AUScore:
    """An AU of a face; ValueError for a cell that somebody emptied, which would count as something."""
    probability, occurrence, strength = (row.get(f"{code}{end}") for end in ("_probability", "_occurrence", INTENSITY))
    strength = None if strength != strength else strength  # NaN
    if not is_score(probability, occurrence, strength):
        raise ValueError(
            f"expected 0 to 1 for the probability, 0 or 1 for the occurrence and 0 to 5 for the intensity of {code} in "
            f"frame {row['frame']} of '{row['source']}'; got {_shown(probability)}, {_shown(occurrence)} and "
            f"{_shown(strength)}"
        )
    return AUScore(code, float(cast("float", probability)), bool(occurrence), cast("float | None", strength))


def _shown(value: object) -> str:
    """A cell as the reader of an error sees it."""
    return "empty" if value is None or value != value else f"{value!r:.40}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _of_lines(path: Path) -> Read:
    """JSON Lines tell no more of the model than its tag."""
    frames: list[FrameResult] = []
    endings: dict[str, Ending] = {}
    models: dict[str, ModelInfo] = {}
    last: dict[str, int] = {}
    with path.open("rb") as file:
        for place, line in enumerate(iter(lambda: file.readline(MOST_BYTES + 1), b""), 1):
            line = line.removeprefix(BOM) if place == 1 else line
            if not line.strip():
                continue
            try:
                values = parsed(line)
                model = models.setdefault(values["model"], model_of_text(values["model"]))
                ending = endings.setdefault(str(values["source"]), Ending())
                events = tuple(_event(event) for event in values["events"])
                if values["status"] == "ended":
                    ending.events, ending.broken_off = events, values["note"] == "broken off"
                else:
                    frames.append(_of_line(values, model, ending, events))
                    check_order(frames[-1], last)
            except UNREADABLE as error:
                raise InputError(
                    f"line {place} of '{path}' is no result: {error!r:.200}; give a file that mdhr_sdk wrote"
                ) from None
    if not frames:
        raise InputError(f"'{path}' has no frame; check that its source was read")
    one_model(models)
    codes = next((tuple(face.aus) for frame in frames for face in frame.faces), ())
    faces = [face for frame in frames for face in frame.faces]
    told = tuple(code for code in codes if any(face.aus[code].intensity is not None for face in faces))
    named = tuple(replace(frame, model=replace(frame.model, intensities=told)) for frame in frames)
    return Read(named, named[0].model, codes)


def _of_line(values: Mapping[str, Any], model: ModelInfo, ending: Ending, events: tuple[AUEvent, ...]) -> FrameResult:
    faces = tuple(
        FaceResult(
            count(one["track_id"]),
            _box(one["box_px"]),
            np.empty((0, 3), np.float32),
            {au_code(code): _score(code, score) for code, score in one["aus"].items()},
            _baseline(one["baseline"]),
            _measures_of(one.get("measures")),
        )
        for one in values["faces"]
    )
    at = values["captured_at"]
    return FrameResult(
        str(values["source"]), count(values["frame"]), finite(values["timestamp_s"]), faces, model,
        note=str(values["note"]), delay_ms=number(values["delay_ms"]), dropped=whole(values["dropped"]),
        fps=number(values["fps"] or 0.0), ending=ending, events=events,
        captured_at=None if at is None else datetime.fromisoformat(at.replace("Z", "+00:00")),
        stream_time_s=None if (clock := values["stream_time_s"]) is None else number(clock),
        stale=values["status"] == "stale", faces_seen=len(faces),
        untrusted=int(values["status"] == "low_quality"),
    )  # fmt: skip


def _box(values: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = map(number, values)
    return x0, y0, x1, y1


def _baseline(text: Any) -> Baseline:
    if text not in get_args(Baseline):
        raise ValueError(f"baseline {text!r:.80}")
    return cast("Baseline", text)


def _measures_of(values: Mapping[str, Any] | None) -> FaceMeasures | None:
    if values is None:
        return None
    numbers: dict[str, Any] = {name: number(values.get(name)) for name in MEASURES}
    return within(FaceMeasures(**numbers, reason=str(values.get("reason", ""))))


def _score(code: str, values: Mapping[str, Any]) -> AUScore:
    probability, occurrence, strength = values["probability"], values["occurrence"], values.get("intensity")
    if not is_score(probability, occurrence, strength):
        told = ", ".join(f"{value!r:.40}" for value in (probability, occurrence, strength))
        raise ValueError(f"{told} for the probability, occurrence and intensity of {code}")
    return AUScore(code, float(probability), bool(occurrence), None if strength is None else float(strength))


def _event(values: Mapping[str, Any]) -> AUEvent:
    if values.keys() | {"peak_intensity"} != _EVENT.keys():  # which events of AUs without one do not tell
        raise KeyError(f"an event of {sorted(values)}")
    return AUEvent(**{name: _EVENT[name](value) for name, value in values.items()})


_MAKE: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "int": whole,
    "float": finite,
    "bool": lambda value: bool(whole(value)),
    "float | None": lambda value: None if value in (None, "") else finite(value),
}
_EVENT = {one.name: _MAKE[str(one.type)] for one in fields(AUEvent)} | {"au": au_code}
