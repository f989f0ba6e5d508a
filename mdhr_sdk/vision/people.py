"""Which of the faces of a frame are scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from .boxes import Box, area
from .scope import Scope
from .tracks import Boxed

F = TypeVar("F", bound=Boxed)
AWAY_S = 1.0  # a person who is not there for longer is gone, as for tracks
CLEARLY = 1.5  # another face takes over if it is so many times as large, or so many times nearer to the middle


class Chooser:
    """Chooses the faces that a scope asks for, frame by frame of one source."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._corners = scope.corners
        self._chosen: int | None = None
        self._seen_s = -math.inf

    def inside(self, faces: Sequence[F]) -> list[F]:
        """Those with the middle of their box in the region."""
        return [face for face in faces if self._corners is None or _within(_middle(face.box_px), self._corners)]

    def person(self, faces: Mapping[int, F], timestamp_s: float, size_px: tuple[int, int]) -> dict[int, F]:
        """The face of the person asked for, by track id; all faces if nobody was asked for.

        Args:
            size_px: width and height of the frame.
        """
        wanted = self._scope.person
        if wanted is None:
            return dict(faces)
        if not isinstance(wanted, str):
            return {wanted: faces[wanted]} if wanted in faces else {}
        if self._chosen not in faces and timestamp_s - self._seen_s > AWAY_S:
            self._chosen = None
        if faces and (self._chosen is None or self._chosen in faces):
            self._chosen = self._best(faces, size_px)
        if self._chosen is None or self._chosen not in faces:
            return {}
        self._seen_s = timestamp_s
        return {self._chosen: faces[self._chosen]}

    def forget(self) -> None:
        """The scene was cut: choose anew."""
        self._chosen, self._seen_s = None, -math.inf

    def _best(self, faces: Mapping[int, F], size_px: tuple[int, int]) -> int:
        """The present person, unless another one is clearly better."""
        costs = {track: self._cost(face.box_px, size_px) for track, face in faces.items()}
        best = min(costs, key=lambda track: (costs[track], track))
        if self._chosen is None:
            return min(faces) if self._scope.person == "first" else best
        if self._scope.person == "first":
            return self._chosen
        return best if costs[best] * CLEARLY < costs[self._chosen] else self._chosen

    def _cost(self, box: Box, size_px: tuple[int, int]) -> float:
        if self._scope.person == "largest":
            return 1 / max(area(box), 1e-9)
        (x, y), (width, height) = _middle(box), size_px
        return math.hypot(x - width / 2, y - height / 2)


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _within(point: tuple[float, float], corners: Sequence[tuple[float, float]]) -> bool:
    """Whether a ray from the point to the right crosses the polygon's border an odd number of times."""
    (x, y), crossings = point, 0
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (y0 > y) != (y1 > y):
            crossings += x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return crossings % 2 == 1
