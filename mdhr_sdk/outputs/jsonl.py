"""Results as JSON: plain values for other programs, and a file with one line a frame."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from ..results import Ending, FaceResult, FrameResult, ModelInfo
from .sinks import FileSink

PLACES = 6  # decimals of probabilities and seconds, as in the table
Json = dict[str, Any]


def as_json(result: FrameResult) -> Json:
    """A frame as plain values: dicts, lists, texts, numbers and None. Without picture and mesh.

    Keys: `source`, `frame`, `timestamp_s`; `captured_at` (ISO 8601, UTC) and `stream_time_s`, None for files;
    `delay_ms`, `dropped`, `status`, `note`, `fps`, `model` (its tag); `faces`, each with `track_id`, `box_px`,
    `baseline` and `aus`: code -> `probability`, `occurrence`, `tier` (None if the model's AUs were never rated) and
    `intensity` (0 to 5, None for an AU without one), and `measures` if it was measured;
    `events`: those that ended, as `AUEvent.row()`. What is not finite is None: JSON has no NaN.
    """
    return {
        "source": result.source,
        "frame": result.index,
        "timestamp_s": _number(result.timestamp_s, PLACES),
        "captured_at": utc_text(result.captured_at),
        "stream_time_s": _number(result.stream_time_s, PLACES),
        "delay_ms": _number(result.delay_ms, 3),
        "dropped": result.dropped,
        "status": result.status,
        "note": result.note,
        "fps": _number(result.fps, 3),
        "model": result.model.tag,
        "faces": [_face(face, result.model) for face in result.faces],
        "events": [event.row() for event in result.events],
    }


def end_as_json(source: str, model: ModelInfo, ending: Ending) -> Json:
    """The end of a source, with the keys of a frame: status 'ended', and the events that were still open.

    `note` is 'broken off' if the source was not read to its end. `frame` and the times are None.
    """
    unknown = ("frame", "timestamp_s", "captured_at", "stream_time_s", "delay_ms")
    return {
        "source": source,
        **dict.fromkeys(unknown),
        "dropped": 0,
        "status": "ended",
        "note": "broken off" if ending.broken_off else "",
        "fps": None,
        "model": model.tag,
        "faces": [],
        "events": [event.row() for event in ending.events],
    }


def json_line(values: Json) -> bytes:
    """One line of UTF-8 with its end. Text that UTF-8 cannot hold, as a file's name may, is escaped."""
    return (json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def utc_text(time: datetime | None) -> str | None:
    """A time as '2026-11-30T15:24:00.123Z', or None."""
    if time is None:
        return None
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _face(face: FaceResult, model: ModelInfo) -> Json:
    aus = {
        code: {
            "probability": _number(score.probability, PLACES),
            "occurrence": bool(score.occurrence),
            "tier": model.tiers.get(code),
            "intensity": _number(score.intensity, 4),
        }
        for code, score in face.aus.items()
    }
    box = [_number(value, 2) for value in face.box_px]
    values = {"track_id": face.track_id, "box_px": box, "baseline": face.baseline, "aus": aus}
    if face.measures is not None:
        values["measures"] = {**face.measures.row(), "reason": face.measures.reason}
    return values


def _number(value: float | None, places: int) -> float | None:
    return round(float(value), places) if value is not None and math.isfinite(value) else None


class JsonlSink(FileSink[FrameResult]):
    """Writes results as JSON Lines, one line a frame as `as_json` gives it; see `FileSink` for when the file appears.

    One line more a source tells its end, with the status 'ended' and the events that were still open.

    Args:
        path: the file.
    """

    def _render(self, result: FrameResult) -> FrameResult:
        return result

    def _open(self, part: Path, first: FrameResult) -> None:
        self._file: IO[bytes] = part.open("xb")
        self._sources: dict[Ending, tuple[str, ModelInfo]] = {}

    def _put(self, item: FrameResult) -> None:
        self._sources.setdefault(item.ending, (item.source, item.model))
        self._file.write(json_line(as_json(item)))
        self._file.flush()  # the file of a killed process then holds it

    def _finish(self) -> None:
        for ending, (source, model) in self._sources.items():
            self._file.write(json_line(end_as_json(source, model, ending)))
        self._file.close()
