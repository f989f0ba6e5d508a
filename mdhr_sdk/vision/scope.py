"""What of a source is scored: a range of time, every so many frames, a region of the picture, one person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from ..arguments import flag, is_number
from ..errors import ConfigError

Person = Literal["largest", "central", "first"]
Rectangle = tuple[float, float, float, float]  # x, y, width, height
Point = tuple[float, float]
Corners = tuple[Point, ...]
Region = Rectangle | Corners
MOST_DIGITS = 19  # of a track id
MOST_CORNERS = 256  # of a region: each side is compared with each
SLACK_S = 1e-6  # times are sums of floats


@dataclass(frozen=True)
class Scope:
    """What of a source is scored. Times stay those of the source, and so do the numbers of the frames.

    Attributes:
        start_s, end_s: frames from `start_s` on and before `end_s`, in seconds of the source; None for its end.
        every: take one frame of so many, the first one first.
        sample_fps: take at most so many frames a second, by their times; not together with `every`. A source that has
            fewer gives all that it has.
        region: only faces whose box has its middle in it: x, y, width and height, or three to 256 corners (x, y), in
            pixels of the upright picture, in their order around it.
        person: only one face of a frame. 'largest' and 'central' stay with a person until another one is clearly
            larger, or nearer to the middle of the picture; 'first' stays with whoever is there first. All three choose
            anew when the person is gone for more than a second, or the scene is cut. A number is the `track_id`, as it
            is counted without this choice.
        reidentify: a person who was away for more than a second, or before a cut, has the same `track_id` again if the
            face looks as before. It may be another one for up to two seconds, until the face is recognised.

    A still has no time, so `start_s`, `end_s`, `every` and `sample_fps` do not concern it.

    Raises:
        ConfigError: a value out of range, or `every` together with `sample_fps`.
    """

    start_s: float = 0.0
    end_s: float | None = None
    every: int = 1
    sample_fps: float | None = None
    region: Region | None = None
    person: Person | int | None = None
    reidentify: bool = False

    def __post_init__(self) -> None:
        if not is_number(self.start_s) or self.start_s < 0:
            raise ConfigError(f"the start must be a number of seconds, at least 0; got {self.start_s!r}")
        if self.end_s is not None and not (is_number(self.end_s) and self.start_s < self.end_s):
            raise ConfigError(f"the end must be later than the start, {self.start_s:g} s; got {self.end_s!r}")
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise ConfigError(f"every must be an integer of at least 1; got {self.every!r}")
        if self.sample_fps is not None and not (is_number(self.sample_fps) and self.sample_fps > 0):
            raise ConfigError(f"sample_fps must be a number above 0; got {self.sample_fps!r}")
        if self.sample_fps is not None and self.every != 1:
            raise ConfigError("expected every or sample_fps, each thins the frames out; got both; leave one out")
        flag("reidentify", self.reidentify)
        if self.region is not None:
            object.__setattr__(self, "region", _checked_region(self.region))
        number = isinstance(self.person, int) and not isinstance(self.person, bool) and self.person >= 0
        if self.person is not None and not number and self.person not in get_args(Person):
            names = ", ".join(get_args(Person))
            raise ConfigError(f"person must be {names} or a track id, 0 or more; got {self.person!r}")

    @property
    def thins(self) -> bool:
        """Whether frames between others are left out."""
        return self.every > 1 or self.sample_fps is not None

    @property
    def cuts(self) -> bool:
        """Whether only a part of the time is read."""
        return self.start_s > 0 or self.end_s is not None

    @property
    def narrows(self) -> bool:
        """Whether some of the frames are left out."""
        return self.thins or self.cuts

    @property
    def corners(self) -> Corners | None:
        """The region's corners; None for the whole picture."""
        if self.region is None:
            return None
        if isinstance(self.region[0], tuple):
            return cast(Corners, self.region)
        x, y, width, height = cast(Rectangle, self.region)
        return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def read_region(text: str) -> Region:
    """'x,y,w,h', or corners 'x,y x,y x,y ...' -> a region.

    Raises:
        ConfigError: another text.
    """
    try:
        points = [tuple(float(number) for number in point.split(",")) for point in text.split()]
    except ValueError:
        points = []
    if len(points) == 1 and len(points[0]) == 4:
        return _checked_region(points[0])
    if len(points) >= 3 and all(len(point) == 2 for point in points):
        return _checked_region(points)
    raise ConfigError(
        f"a region is 'x,y,width,height', or three or more corners 'x,y x,y x,y', in pixels; got '{text}'"
    )


def read_person(text: str) -> Person | int:
    """'largest', 'central', 'first' or a number -> a `Scope.person`; ConfigError for another text."""
    person = int(text) if text.isdecimal() and len(text) < MOST_DIGITS else text
    return Scope(person=person).person  # type: ignore[arg-type,return-value]


def _checked_region(region: Sequence[Any]) -> Region:
    """The region as tuples of floats, or ConfigError."""
    try:
        if len(region) == 4 and not any(isinstance(one, Sequence) for one in region):
            x, y, width, height = (float(one) for one in region)
            if all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0:
                return x, y, width, height
        else:
            if len(region) > MOST_CORNERS:
                raise ConfigError(f"a region has at most {MOST_CORNERS} corners; got {len(region):,}; leave some out")
            corners = tuple((float(x), float(y)) for x, y in region)
            if len(corners) >= 3 and all(map(math.isfinite, (one for corner in corners for one in corner))):
                return _checked_sides(corners)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ConfigError(
        "a region is (x, y, width, height) with a width and height above 0, or three or more corners (x, y), in "
        f"pixels; got {region!r}"
    )


def _checked_sides(corners: Corners) -> Corners:
    """The corners, if it is clear what lies between them; ConfigError for a line, and for sides that cross."""
    sides = list(zip(corners, (*corners[1:], corners[0]), strict=True))
    spokes = [_less(one, corners[0]) for one in corners]
    x, y = max(spokes, key=lambda spoke: math.hypot(*spoke))
    if not any(x * v - y * u for u, v in spokes):
        raise ConfigError(f"the corners of a region must not lie on one line; got {corners!r}")
    for place, one in enumerate(sides):
        for other in sides[place + 1 :]:
            if _crosses(*one, *other) and _crosses(*other, *one):
                raise ConfigError(
                    f"the sides of a region must not cross; got {one[0]} to {one[1]} and {other[0]} to {other[1]}; "
                    "give the corners in their order around it"
                )
    return corners


def _less(one: Point, other: Point) -> Point:
    return one[0] - other[0], one[1] - other[1]


def _crosses(begin: Point, end: Point, one: Point, other: Point) -> bool:
    """Whether two points lie on different sides of a line, and neither on it."""
    x, y = _less(end, begin)
    turns = [x * v - y * u for u, v in (_less(one, begin), _less(other, begin))]
    return min(turns) < 0 < max(turns)
