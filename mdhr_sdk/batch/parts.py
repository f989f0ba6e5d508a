"""Long videos in parts, which several workers read, with the tables of one run: a part begins and ends at a cut.

At a cut of the scene nothing is carried over: all tracks end, and what follows faces begins anew. So a part begins at
the first safe cut from its time on, and ends before the first one from its end on, which it reads too, and a little
more. A cut is safe if the frame has a face, and no face that was lost within the last second could come back after it.
What is then left of one run are the numbers of the tracks: the cut's frame, which both parts have, tells them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..errors import ConfigError
from ..outputs.files import Files
from ..results import FrameResult
from ..vision import CutDetector, Scope, Source

BEFORE_S = 2.0  # a part is read from so long before its time on: what a face was there within a second must be known
AFTER_S = 2.0  # and to so long after its end: scores come later, and events later still
LOST_S = 1.0  # a face keeps its number for so long
WORTH = 1.5  # a video of so many parts' length is split
PARTS = ".parts"
BOUNDS = "_part.json"  # after the name that a part's files begin with


@dataclass(frozen=True)
class Part:
    """A part of a video.

    Attributes:
        number, count: this one, from 0, of so many.
        start_s, end_s: it begins at the first safe cut from its start on, the first part with the video; and ends
            before the first one from its end on, the last part with the video.
    """

    number: int
    count: int
    start_s: float
    end_s: float

    def mark(self, fingerprint: str) -> str:
        """What tells this part of a source with that fingerprint."""
        return f"{fingerprint} {self}"

    def scope_of(self, scope: Scope) -> Scope:
        """What of the source is read, of a scope that takes all of its time."""
        return replace(scope, start_s=max(0.0, self.start_s - BEFORE_S)) if self.number else scope


def parts_folder(base: str) -> str:
    """Where the files of a video's parts lie: 'P01/a' -> 'P01/.a.parts'.

    It is hidden: no results of another source have that name, and no report reads them.
    """
    folder, slash, name = base.rpartition("/")
    return f"{folder}{slash}.{name}{PARTS}"


def whole_base(base: str) -> str:
    """What the names of a video's files begin with, of those of one of its parts."""
    parts, _, _ = base.rpartition("/")
    folder, slash, name = parts.rpartition("/")
    return f"{folder}{slash}{name.removeprefix('.').removesuffix(PARTS)}"


def check_split(minutes: float, mode: str, files: Files, scope: Scope, min_quality: float) -> None:
    """Refuse options with which joined parts could differ from one run.

    Raises:
        ConfigError: says which, and why.
    """
    reasons = {
        f"expected --split MINUTES above 0; got {minutes:g}": not 0 < minutes < math.inf,
        "--split needs --mode stream": mode != "stream",
        "--split needs --no-overlay and --no-timeline: they are made of all frames": files.overlay or files.timeline,
        "--split needs --format native: other tables cannot be joined line by line": files.formats != ("native",),
        "--split takes whole videos; leave out --start, --end, --every and --sample-fps": scope.narrows,
        "--person depends on who was there before; leave out --person or --split": scope.person is not None,
        "of what chooses faces --split takes --region alone; leave out the rest": replace(scope, region=None)
        != Scope(),
        "--min-quality hides faces by which safe cuts are told; leave out one of the two": min_quality > 0,
    }
    if reason := next((text for text, wrong in reasons.items() if wrong), ""):
        raise ConfigError(reason)


def parts_of(source: Source, minutes: float) -> list[Part]:
    """The parts of a video, by the length that it declares; none if it is too short, or its length is not known."""
    if source.kind != "video":
        return []
    with source as opened:
        info = opened.info
    if not info.frame_count or info.fps <= 0:
        return []
    length_s, each_s = info.frame_count / info.fps, 60 * minutes
    count = round(length_s / each_s)
    if length_s < WORTH * each_s or count < 2:
        return []
    times_s = [*(number * length_s / count for number in range(count)), math.inf]
    return [Part(number, count, times_s[number], times_s[number + 1]) for number in range(count)]


class Bounds:
    """Goes along the frames of a part and finds where it begins and ends.

    Attributes:
        begin: number of its first frame; None for a part in whose time there is no safe cut.
        end: number of the first frame after it; None for the end of the video.
        over: no more frames are needed.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._cuts = CutDetector()
        self._seen_s: dict[int, float] = {}  # track id -> when it was seen last
        self._last_s = -math.inf
        self._end_s = math.inf
        self.begin: int | None = None
        self.end: int | None = None
        self.over = False

    def takes(self, result: FrameResult) -> bool:
        """Whether a frame, which has its image, belongs into the tables."""
        assert result.image is not None
        at_s = result.timestamp_s
        safe = self._cuts.is_cut(result.image) and bool(result.faces) and not self._may_return(at_s)
        if self.begin is None and (safe or not self._part.number) and at_s >= self._start_s:
            self.begin = result.index
        elif self.begin is not None and self.end is None and safe and at_s >= self._part.end_s:
            self.end, self._end_s = result.index, at_s
        self._seen_s |= {face.track_id: at_s for face in result.faces}
        self._last_s = at_s
        self.over = at_s > self._end_s + AFTER_S or (self.begin is None and at_s >= self._part.end_s)
        return self.begin is not None and not self.over

    @property
    def _start_s(self) -> float:
        return self._part.start_s if self._part.number else -math.inf

    def _may_return(self, at_s: float) -> bool:
        """Whether a face that the frame before lacks could still come back."""
        return any(self._last_s > seen_s >= at_s - LOST_S for seen_s in self._seen_s.values())

    def as_json(self) -> dict[str, int | None]:
        """What is kept of it."""
        return {"begin": self.begin, "end": self.end}
