"""Gives a person who was away the number from before, by how the face looked then; only where this is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .looks import Look

# Of 2,599 pairs of portraits of different people in the light of one studio, none are so alike in both. A lively person
# is at times less alike to what was kept, and is a new one then: better than to take one person for another.
PATTERN, COLOUR = 0.08, 0.05
CLEARLY = 0.03  # so much less alike anybody must be who is in the picture
FAR = PATTERN + CLEARLY
AWAY_S = 1.0  # a person who is not there for longer is gone, as for tracks
SETTLES_S = 2.0  # so long a new face may still turn out to be that of a known person
LOOKS, UNLIKE, APART_S = 8, 0.04, 0.3  # that are kept of a person; so unlike each other, so many seconds apart
PEOPLE = 64  # who are remembered


@dataclass
class _Person:
    began_s: float
    seen_s: float
    looks: list[Look] = field(default_factory=list)
    kept_s: float = -math.inf
    _directions: NDArray[np.float32] | None = None

    def unlike(self, look: Look) -> float:
        """One minus the correlation with the nearest look that is kept; infinite if it is of another colour or far."""
        near = ((apart, one) for apart, one in zip(self._apart(look), self.looks, strict=True) if apart <= FAR)
        return min((apart for apart, one in near if look.colour_from(one) <= COLOUR), default=math.inf)

    def keep(self, look: Look) -> None:
        if self.seen_s - self.kept_s >= APART_S and min(self._apart(look), default=math.inf) >= UNLIKE:
            self.looks = [*self.looks[1 - LOOKS :], look]
            self.kept_s = self.seen_s
            self._directions = np.stack([one.direction for one in self.looks])

    def _apart(self, look: Look) -> list[float]:
        return [] if self._directions is None else [*map(float, 1 - self._directions @ look.direction)]


class Returning:
    """Numbers the people of one source: tracks that follow on each other, and show one person, have one number."""

    def __init__(self) -> None:
        self._people: dict[int, _Person] = {}  # by number
        self._numbers: dict[int, int] = {}  # track id -> number
        self._before: set[int] = set()  # the numbers of the last frame

    def numbers(self, looks: Mapping[int, Look | None], timestamp_s: float) -> dict[int, int]:
        """Track id -> the person's number, which is the id of the person's first track.

        A new track may have its own id for at most two seconds, until its face is recognised. Between two tracks of one
        number is at least one frame without it, so that whoever follows the numbers sees the gap.

        Args:
            looks: of the faces of one frame, by track id; None for one that cannot be told.
            timestamp_s: the frame's time, never less than the one before.
        """
        for track in looks:
            number = self._numbers.setdefault(track, track)
            if number not in self._people:  # somebody new, or forgotten a moment ago
                self._people[number] = _Person(timestamp_s, timestamp_s)
        for track, look in looks.items():
            if look is not None and look.clear:
                self._recognise(track, look, {self._numbers[one] for one in looks}, timestamp_s)
        for track in looks:
            self._people[self._numbers[track]].seen_s = timestamp_s
        for track, look in looks.items():
            if look is not None and look.clear:
                self._people[self._numbers[track]].keep(look)
        numbers = {track: self._numbers[track] for track in looks}
        self._before = {*numbers.values()}
        self._forget(self._before)
        return numbers

    def _recognise(self, track: int, look: Look, present: set[int], now_s: float) -> None:
        """Give a new track the number of a person who is away and looks so."""
        if self._numbers[track] != track or now_s - self._people[track].began_s > SETTLES_S:
            return
        unlike = {number: one.unlike(look) for number, one in self._people.items() if number != track}
        gone = unlike.keys() - present - self._before
        away = [one for one in gone if now_s - self._people[one].seen_s > AWAY_S]
        best = min(away, key=unlike.__getitem__, default=None)
        others = min((unlike[one] for one in present & unlike.keys()), default=math.inf)
        if best is not None and unlike[best] <= PATTERN and others >= unlike[best] + CLEARLY:
            self._numbers[track] = best
            del self._people[track]

    def _forget(self, present: set[int]) -> None:
        """Forget who was away for longest, if there are too many, and tracks of people who are forgotten."""
        away = sorted(self._people.keys() - present, key=lambda number: self._people[number].seen_s)
        for number in away[: max(0, len(self._people) - PEOPLE)]:
            del self._people[number]
        if len(self._numbers) > 2 * PEOPLE:
            kept = {track: number for track, number in self._numbers.items() if number in self._people}
            self._numbers = dict([*kept.items()][-2 * PEOPLE :]) | {t: n for t, n in kept.items() if n in present}
