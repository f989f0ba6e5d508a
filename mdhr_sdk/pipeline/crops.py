"""From a frame to its faces and their tracks."""

from __future__ import annotations

from dataclasses import dataclass

from ..vision import CutDetector, Face, FaceMesher, Frame, Tracker
from .clock import StageClock


@dataclass(frozen=True)
class Found:
    """A frame whose faces were looked for.

    Attributes:
        faces: track id -> face.
    """

    frame: Frame
    faces: dict[int, Face]


class Finder:
    """Finds the faces of one source's frames and follows them.

    A cut ends all tracks, so that no clip or stream holds frames of two scenes.
    """

    def __init__(self, mesher: FaceMesher, clock: StageClock) -> None:
        self._mesher = mesher
        self._clock = clock
        self._tracker = Tracker()
        self._cuts = CutDetector()

    def find(self, frame: Frame) -> Found:
        """Take the next frame."""
        with self._clock("faces"):
            if self._cuts.is_cut(frame.image):
                self._tracker.reset()
                self._mesher.reset()
            found = self._mesher.find(frame.image)
            faces = dict(sorted(zip(self._tracker.update(found, frame.timestamp_s), found, strict=True)))
        return Found(frame, faces)

    def close(self) -> None:
        """Close the face models: no frames follow."""
        self._mesher.close()
