"""What is said of a run on the way: F1 of each AU at each validation, and how long the rest will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..evaluate.metrics import Floats, mean

Tell = Callable[[str], None]
A_LINE = 12  # AUs in a line of the table, which 80 columns hold


def silent(line: str) -> None:
    """Say nothing."""


class Progress:
    """Tells of one training, in epochs counted from 1.

    Args:
        epochs: the last one.
        codes: of the AUs.
        tell: takes the lines.
    """

    def __init__(self, epochs: int, codes: Sequence[str], tell: Tell) -> None:
        self.epochs, self.codes, self.tell = epochs, codes, tell
        self._began, self._from, self._told = time.monotonic(), 0.0, False
        self._best = (-1.0, 0)

    def begin(self, done: float, best: tuple[float, int] = (-1.0, 0)) -> None:
        """Start the clock, `done` epochs being behind; `best` is the best F1 so far and its epoch."""
        self._began, self._from, self._best = time.monotonic(), done, best

    def left(self, done: float) -> str:
        """How long the epochs after `done` will take, as in '1:20:05'; '' while that is not known."""
        passed = done - self._from
        if passed <= 0:
            return ""
        return clock((time.monotonic() - self._began) / passed * (self.epochs - done))

    def epoch(self, done: int) -> None:
        """Say once, after the first epoch, how long the run will take."""
        if not self._told and done < self.epochs and (left := self.left(done)):
            self._told = True
            self.tell(f"epoch {done} of {self.epochs}: about {left} to go")

    def validated(self, done: int, step: int, f1: Floats) -> None:
        """Print F1 at 0.5 of each AU, their mean, the best mean before, and the time."""
        figure, (best, at) = mean(f1), self._best
        before = f", the best before was {100 * best:.1f} in epoch {at}" if at else ""
        left = "" if done == self.epochs else f"; about {self.left(done)} to go"
        self.tell(f"epoch {done} of {self.epochs}, step {step}: validation F1 {_percent(figure)}{before}{left}")
        for first in range(0, len(self.codes), A_LINE):
            some = slice(first, first + A_LINE)
            self.tell("  " + " ".join(f"{code:>5}" for code in self.codes[some]))
            self.tell("  " + " ".join(f"{_percent(value):>5}" for value in f1[some]))
        self._told = True
        if figure > best:
            self._best = figure, done


def clock(seconds: float) -> str:
    """'0:00:31', '26:04:00'."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
