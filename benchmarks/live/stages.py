"""Where a live frame's delay goes: stamps at each place that it passes on its way to the loop over the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdhr_sdk.pipeline.reader import Reader
from mdhr_sdk.pipeline.scores.decide import Waiting
from mdhr_sdk.results import FrameResult

STAGES = (
    "before it arrives: server, network",
    "decoding, to this process",
    "waits to be taken",
    "lookahead: until the last frame it needs is taken",
    "faces and model",
    "waits for the loop",
)


@dataclass
class Stamps:
    """By `time.perf_counter`, of frames by source and index, or by arrival where they have no index yet."""

    put_s: dict[tuple[str, float], float] = field(default_factory=dict)
    taken_s: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)  # arrival, taken
    made_s: dict[tuple[str, int], float] = field(default_factory=dict)
    rows: list[list[float]] = field(default_factory=list)

    def count(self, result: FrameResult, true_ms: float, now_s: float) -> None:
        """A result is in the loop, so long after the stamp in its picture."""
        source, index = result.source, result.index
        arrived_s, taken_s = self.taken_s[source, index]
        last_s = self.taken_s[source, index + result.delay_frames][1]
        put_s, made_s = self.put_s[source, arrived_s], self.made_s[source, index]
        times_s = (now_s - true_ms / 1e3, arrived_s, put_s, taken_s, last_s, made_s, now_s)
        self.rows.append([1e3 * float(step) for step in np.diff(times_s)])

    def show(self) -> None:
        """Print a line a stage."""
        print(f"  {'ms':52}{'p50':>8}{'p99':>8}")
        for stage, values in zip(STAGES, np.array(self.rows).T, strict=True):
            print(f"  {stage:52}{np.median(values):8.1f}{np.percentile(values, 99):8.1f}")


@contextmanager
def stamped() -> Iterator[Stamps]:
    """Stamp frames where they pass; the places get their old functions back at the end."""
    stamps = Stamps()

    def put(old: Callable[..., None], reader: Reader, item: Any) -> None:
        frame = getattr(item, "frame", item)
        stamps.put_s[reader.source.name, frame.read_s] = time.perf_counter()
        old(reader, item)

    def take(old: Callable[..., Any], reader: Reader) -> Any:
        item = old(reader)
        if item is not None:
            frame = getattr(item, "frame", item)
            stamps.taken_s[reader.source.name, frame.index] = frame.read_s, time.perf_counter()
        return item

    def renewed(old: Callable[..., Any], reader: Reader, item: Any) -> Any:
        newer = old(reader, item)
        if newer is not item:
            stamps.taken_s[reader.source.name, newer.index] = newer.read_s, time.perf_counter()
        return newer

    def made(old: Callable[..., FrameResult], waiting: Waiting, pending: Any) -> FrameResult:
        result = old(waiting, pending)
        stamps.made_s[result.source, result.index] = time.perf_counter()
        return result

    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (Reader, "_put", put), (Reader, "take", take), (Reader, "renewed", renewed), (Waiting, "_result", made)
    ]  # fmt: skip
    olds = [getattr(owner, name) for owner, name, _ in places]
    for (owner, name, new), old in zip(places, olds, strict=True):
        setattr(owner, name, _around(new, old))
    try:
        yield stamps
    finally:
        for (owner, name, _), old in zip(places, olds, strict=True):
            setattr(owner, name, old)


def _around(new: Callable[..., Any], old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: new(old, *given)
