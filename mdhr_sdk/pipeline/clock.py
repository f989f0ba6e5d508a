"""Where the time of a run goes, and how often things happen."""

from __future__ import annotations

import threading
import time
from collections import deque

RATE_S, MOST_COUNTED = 2.0, 512  # over which rates are measured


class StageClock:
    """Adds up the seconds spent in named stages, by several threads if need be."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, stage: str) -> Stage:
        """The block's seconds count as the stage's."""
        return Stage(self, stage)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds of a stage."""
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class Stage:
    """A block that is timed; quicker than a generator, several times a frame."""

    __slots__ = ("_clock", "_stage", "_start_s")

    def __init__(self, clock: StageClock, stage: str) -> None:
        self._clock, self._stage = clock, stage

    def __enter__(self) -> None:
        self._start_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._clock.add(self._stage, time.perf_counter() - self._start_s)


class Rate:
    """Counts what happens a second. May be asked from another thread."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=MOST_COUNTED)

    def count(self, so_many: int = 1) -> None:
        self._times_s.extend([time.perf_counter()] * min(so_many, MOST_COUNTED))

    @property
    def per_s(self) -> float:
        since_s = time.perf_counter() - RATE_S
        return sum(one >= since_s for one in self._times_s.copy()) / RATE_S
