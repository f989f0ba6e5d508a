"""Give each face a number and keep it from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from ..arguments import is_number
from ..errors import ConfigError, InputError
from .boxes import Box, iou
from .looks import Look

NEAR = 1.5  # search radius, in face sizes, for a face that overlaps no track
LIKE_SIZE = 1.6  # and sizes at most so many times apart
AT_ONCE_S = 0.25  # in less nobody takes another's place while all around stays as it is


class Boxed(Protocol):
    """Anything with a box; `Face` is one."""

    @property
    def box_px(self) -> Box: ...


F = TypeVar("F", bound=Boxed)


@dataclass(frozen=True)
class _Track(Generic[F]):
    face: F
    seen_s: float
    seen_in: int  # the update, counted from 1
    look: Look | None
    earlier: Look | None = None  # before something came before the face, or its light changed
    cut: bool = False  # the scene was cut since

    def fits(self, now: Look, at_s: float) -> bool:
        """Whether `now` may be the track's face as it looked last, or earlier."""
        return self._may_be(self.look, now, at_s) or self._may_be(self.earlier, now, at_s)

    def _may_be(self, known: Look | None, now: Look, at_s: float) -> bool:
        return known is not None and now.may_be(known, at_s - self.seen_s)

    def seen_as(self, face: F, seen_s: float, seen_in: int, now: Look | None) -> _Track[F]:
        look, earlier = self.look, self.earlier
        if now is not None and look is not None and not self._may_be(look, now, seen_s):
            earlier = None if self._may_be(earlier, now, seen_s) else look
        return _Track(face, seen_s, seen_in, now or look, earlier)


class Tracker(Generic[F]):
    """Matches the faces of a frame to the last boxes of the known tracks, the best overlap first.

    Ids count up from 0 and are never used twice. A face that frames lack keeps its id for `max_gap_s` seconds. One of
    the frame before keeps it, unless the time between the two is a gap: longer than `max_gap_s`, and than twice the
    step before it, so that a source of a frame every ten seconds has tracks too.

    Where it is given how faces look, a face in the place of a track that looks like another person begins a new one,
    and a face that overlaps with no track, as after fast motion, keeps the id of one near by that looks the same.

    Args:
        max_gap_s: longest time in seconds from a face's last frame to its next.
        min_iou: least intersection over union of a face and a track's last box, in (0, 1].

    Raises:
        ConfigError: an argument out of range.
    """

    def __init__(self, max_gap_s: float = 1.0, min_iou: float = 0.3) -> None:
        if not is_number(max_gap_s) or max_gap_s < 0:
            raise ConfigError(f"max_gap_s must be a number of seconds, at least 0; got {max_gap_s!r}")
        if not is_number(min_iou) or not 0 < min_iou <= 1:
            raise ConfigError(f"min_iou must be in (0, 1]; got {min_iou!r}")
        self._max_gap_s = max_gap_s
        self._min_iou = min_iou
        self._tracks: dict[int, _Track[F]] = {}
        self._cut = False
        self._next_id = 0
        self._updates = 0
        self._now_s = -math.inf
        self._step_s = math.inf  # between the last two updates

    def update(
        self, faces: Sequence[F], timestamp_s: float, look: Callable[[F], Look | None] | None = None
    ) -> list[int]:
        """Return the track id of each face, in the order of `faces`.

        Faces that fit no track start new ones, numbered from left to right.

        Args:
            faces: the faces of one frame.
            timestamp_s: the frame's time in seconds; never less than the one before.
            look: how the place of a face looks in this frame; None for boxes alone.

        Raises:
            InputError: the time is not finite or runs backwards.
        """
        if not self._now_s <= timestamp_s < math.inf:
            raise InputError(
                f"expected a time of {self._now_s:g} s or later; got {timestamp_s!r}; call reset() for a new source"
            )
        step_s, before_s = timestamp_s - self._now_s, self._step_s
        self._now_s, self._step_s = timestamp_s, step_s
        if step_s > max(self._max_gap_s, 2 * before_s):
            self._tracks.clear()
        self._tracks = {i: track for i, track in self._tracks.items() if self._alive(track)}
        if self._cut:
            self._mark_cut(any_face=bool(faces))
        self._updates += 1
        looks = [look(face) if look else None for face in faces]
        ids = self._match(faces, looks, look)
        self._match_near(faces, looks, ids)
        for face in sorted(set(range(len(faces))) - ids.keys(), key=lambda face: faces[face].box_px):
            ids[face] = self._next_id
            self._next_id += 1
        for face, track in ids.items():
            before = self._tracks.get(track)
            known = before or _Track(faces[face], timestamp_s, self._updates, None)
            self._tracks[track] = known.seen_as(faces[face], timestamp_s, self._updates, looks[face])
        return [ids[face] for face in range(len(faces))]

    def cut(self) -> None:
        """The next frame shows another scene, or something came before the camera.

        Its faces begin new tracks. Where it has none, a face that is back in time and looks as before keeps its id.
        """
        self._cut = True

    def _mark_cut(self, any_face: bool) -> None:
        kept = {i: track for i, track in self._tracks.items() if not any_face or track.seen_in < self._updates}
        self._tracks = {i: replace(track, cut=True) for i, track in kept.items()}
        self._cut = False

    def reset(self) -> None:
        """Forget all tracks, as for a new source; counting goes on."""
        self._tracks.clear()
        self._cut = False
        self._now_s, self._step_s = -math.inf, math.inf

    def _alive(self, track: _Track[F]) -> bool:
        """Whether the track was seen in the update before this one, or not too long ago."""
        return track.seen_in == self._updates or self._now_s - track.seen_s <= self._max_gap_s

    def _match(
        self, faces: Sequence[F], looks: Sequence[Look | None], look: Callable[[F], Look | None] | None
    ) -> dict[int, int]:
        """Face -> track, the best overlap first."""
        pairs = [
            (-overlap, track, face.box_px, index)  # ties go to the older track, then to the face further left
            for index, face in enumerate(faces)
            for track, known in self._tracks.items()
            if (overlap := iou(face.box_px, known.face.box_px)) >= self._min_iou
            and self._may_be(looks[index], known, look)
        ]
        return _first_come({}, pairs)

    def _may_be(self, now: Look | None, track: _Track[F], look: Callable[[F], Look | None] | None) -> bool:
        if now is None or track.look is None:
            return not track.cut
        if track.cut:
            return now.resembles(track.look)
        if track.fits(now, self._now_s):
            return True
        # A mesh that has slipped makes the face look another; its last place does not.
        place = look(track.face) if look else None
        if place is None or track.fits(place, self._now_s):
            return place is not None
        at_once = track.seen_in == self._updates - 1 and self._now_s - track.seen_s <= AT_ONCE_S
        return at_once and place.surrounded_as(track.look)

    def _match_near(self, faces: Sequence[F], looks: Sequence[Look | None], ids: dict[int, int]) -> None:
        """Add faces that resemble a track near by to `ids`, the nearest first."""
        pairs = []
        for face in set(range(len(faces))) - ids.keys():
            for track in self._tracks.keys() - set(ids.values()):
                known, now = self._tracks[track], looks[face]
                distance = _distance(faces[face].box_px, known.face.box_px)
                if distance > NEAR or now is None or known.look is None:
                    continue
                if now.resembles(known.look) and now.may_be(known.look, self._now_s - known.seen_s):
                    pairs.append((distance, track, faces[face].box_px, face))
        _first_come(ids, pairs)


def _first_come(ids: dict[int, int], pairs: list[tuple[float, int, Box, int]]) -> dict[int, int]:
    """Add the pairs (cost, track, box, face) to `ids`, the least cost first, each face and track once."""
    for _, track, _, face in sorted(pairs):
        if face not in ids and track not in ids.values():
            ids[face] = track
    return ids


def _distance(a: Box, b: Box) -> float:
    """Between the centres of two boxes, in sides of the larger one; infinite for boxes of unlike size."""
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in (a, b)]
    if not 0 < max(sides) <= LIKE_SIZE * min(sides):
        return math.inf
    return math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2 / max(sides)
