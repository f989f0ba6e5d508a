"""Results for the lab streaming layer, beside EEG, eye trackers and other devices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...errors import MissingDependencyError, require
from ...results import Ending, FaceResult, FrameResult
from ..jsonl import json_line

if TYPE_CHECKING:
    from typing_extensions import Self

EXTRA_CHANNELS = ("track_id", "faces")


def library() -> ModuleType:
    """pylsl, with liblsl.

    Raises:
        MissingDependencyError: the extra 'lsl' is not installed, or liblsl cannot be loaded.
    """
    try:
        return require("pylsl", "lsl")
    except (RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise MissingDependencyError(f"pylsl is installed but liblsl cannot be loaded: {reason}") from None


class LslSink:
    """Two streams a source. `mdhr SOURCE` (type AU): a sample a frame. `mdhr SOURCE events` (type Markers): as JSON.

    The channels of a sample are the probabilities of the model's AUs of the largest face, its `track_id`, and the
    number of `faces`; without a face they are NaN, NaN and 0. Times are those of the frame's arrival, on LSL's clock.

    Args:
        codes: the AU codes of the model, in its order.

    Raises:
        MissingDependencyError: on entering, the extra 'lsl' is not installed.
    """

    def __init__(self, codes: Sequence[str]) -> None:
        self._codes = tuple(codes)
        self._outlets: dict[str, tuple[Any, Any]] = {}
        self._endings: dict[Ending, str] = {}

    def __enter__(self) -> Self:
        self._lsl = library()
        return self

    def write(self, result: FrameResult) -> None:
        """Push one sample, and the events that ended in the frame."""
        if result.source not in self._outlets:
            self._outlets[result.source] = self._opened(result)
        samples, markers = self._outlets[result.source]
        self._endings.setdefault(result.ending, result.source)
        at = self._lsl.local_clock() - _age_s(result)
        samples.push_sample([*self._values(result)], at)
        for event in result.events:
            markers.push_sample([_text(event.row())], at)
        if result.note:
            markers.push_sample([_text({"note": result.note, "frame": result.index})], at)

    def __exit__(self, *_: object) -> None:
        for ending, source in self._endings.items():
            for event in ending.events:
                self._outlets[source][1].push_sample([_text(event.row())])
        self._outlets.clear()

    def _values(self, result: FrameResult) -> list[float]:
        face = max(result.faces, key=_area, default=None)
        if face is None:
            return [float("nan")] * (len(self._codes) + 1) + [0.0]
        return [*(face.aus[code].probability for code in self._codes), float(face.track_id), float(len(result.faces))]

    def _opened(self, result: FrameResult) -> tuple[Any, Any]:
        channels = (*self._codes, *EXTRA_CHANNELS)
        name = f"mdhr {result.source}"
        info = self._lsl.StreamInfo(name, "AU", len(channels), 0.0, "float32", name)
        info.desc().append_child_value("model", result.model.details)
        described = info.desc().append_child("channels")
        for label in channels:
            described.append_child("channel").append_child_value("label", label)
        events = self._lsl.StreamInfo(f"{name} events", "Markers", 1, 0.0, "string", f"{name} events")
        return self._lsl.StreamOutlet(info), self._lsl.StreamOutlet(events)


def _text(values: dict[str, object]) -> str:
    return json_line(values).decode().rstrip("\n")


def _age_s(result: FrameResult) -> float:
    """Seconds since the frame arrived."""
    if result.captured_at is None:
        return result.delay_ms / 1000
    return max(0.0, (datetime.now(timezone.utc) - result.captured_at).total_seconds())


def _area(face: FaceResult) -> float:
    x0, y0, x1, y1 = face.box_px
    return (x1 - x0) * (y1 - y0)
