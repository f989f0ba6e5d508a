"""The frames of a source that a scope asks for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterable
from dataclasses import replace

from ...errors import SourceError
from ..scope import SLACK_S, Scope
from .source import Frame, SourceInfo


def frames_in(scope: Scope, frames: Iterable[Frame], name: str) -> Generator[Frame, None, None]:
    """The frames that `scope` asks for; each tells what the frames passed over before it had to tell.

    Raises:
        SourceError: there is none.
    """
    chosen = _Chosen(scope)
    breaks, note, dropped, last_s = False, "", 0, 0.0
    for frame in frames:
        if chosen.over(frame):
            break
        if frame.stale:  # it says that nothing new has come
            yield frame
            continue
        last_s = frame.timestamp_s
        breaks, note, dropped = breaks or frame.breaks, note or frame.note, dropped + frame.dropped
        if chosen.takes(frame):
            yield replace(frame, breaks=breaks, note=note, dropped=dropped)
            breaks, note, dropped = False, "", 0
        elif not chosen.count:
            breaks, note = False, ""  # what came before the start does not concern what follows
    if not chosen.count:
        end = "its end" if scope.end_s is None else f"{scope.end_s:g} s"
        raise SourceError(
            f"expected frames of {name} between {scope.start_s:g} s and {end}; its last one before that end is at "
            f"{last_s:.2f} s; choose an earlier start or a later end"
        )


def narrowed(info: SourceInfo, scope: Scope) -> SourceInfo:
    """What is known about the frames that are left; their number is an estimate."""
    if info.still:
        return info
    fps, count = info.fps, info.frame_count
    if count is not None and scope.cuts:
        length_s = count / fps if fps else math.inf
        end_s = length_s if scope.end_s is None else min(length_s, scope.end_s)
        count = max(1, math.ceil((end_s - scope.start_s) * fps)) if math.isfinite(end_s) else None
    share = 1 / scope.every
    if scope.sample_fps is not None and fps:
        share = min(1.0, scope.sample_fps / fps)
    return replace(info, fps=fps * share, frame_count=None if count is None else math.ceil(count * share))


class _Chosen:
    """Decides on one frame after the other.

    Attributes:
        count: frames that were taken.
    """

    def __init__(self, scope: Scope) -> None:
        self.count = 0
        self._scope = scope
        self._seen = itertools.count()  # frames from the start on
        self._first_s = 0.0
        self._last_slot = -1

    def over(self, frame: Frame) -> bool:
        end_s = self._scope.end_s
        return end_s is not None and frame.timestamp_s >= end_s - SLACK_S

    def takes(self, frame: Frame) -> bool:
        if frame.timestamp_s < self._scope.start_s - SLACK_S:
            return False
        taken = self._by_rate(frame) if self._scope.sample_fps else next(self._seen) % self._scope.every == 0
        self.count += taken
        return taken

    def _by_rate(self, frame: Frame) -> bool:
        """Time is cut into slots of 1 / sample_fps seconds; the first frame of each is taken."""
        assert self._scope.sample_fps is not None
        if not self.count:
            self._first_s = frame.timestamp_s
        slot = math.floor((frame.timestamp_s - self._first_s) * self._scope.sample_fps + 1e-3)
        new = slot > self._last_slot
        self._last_slot = max(slot, self._last_slot)
        return new
