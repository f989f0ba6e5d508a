"""From a frame to its faces, tracks and aligned crops; everything that needs crops uses this."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from ..errors import InputError
from ..modelfolder import Preprocessing
from ..vision import CutDetector, Face, Frame, Tracker, align, look_at
from ..vision.boxes import area
from ..vision.looks import Look
from ..vision.people import Chooser
from ..vision.returning import Returning
from ..vision.scope import Scope
from ..vision.sources.source import WHOLE, Image
from .clock import StageClock
from .scoring import Crop

TOLD_PX = 48  # a face whose box has a shorter side is too small to tell whose it is


class Mesher(Protocol):
    """What `CropFinder` uses of `FaceMesher`."""

    @property
    def seen(self) -> int: ...
    def find(self, image_bgr: Image) -> list[Face]: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Meshed:
    """A frame with its meshes; whose they are is not known yet.

    Attributes:
        is_cut: the frame shows another scene than the last one.
        seen: as of `Found`.
    """

    frame: Frame
    is_cut: bool
    faces: list[Face]
    seen: int


@dataclass(frozen=True)
class Found:
    """A frame whose faces were looked for.

    Attributes:
        faces: track id -> face, at most `max_faces`.
        seen: how many faces were found, with those beyond `max_faces`.
        left_out: how many of them the scope does not ask for.
    """

    frame: Frame
    faces: dict[int, Face]
    seen: int = 0
    left_out: int = 0


class CropFinder:
    """Finds the faces of one source's frames, follows them, and cuts out their crops.

    A cut of the scene, and a frame that `breaks`, end all tracks, so that no clip or stream holds frames of two scenes.
    A face that replaces another in the same place, as in a video call, begins a new track too.

    Args:
        mesher: finds the faces; the caller resets it before and closes it after.
        preprocessing: how the model wants its crops.
        clock: adds up the seconds spent in 'faces' and 'align'; None to count nothing.
        scope: which faces are scored.
    """

    def __init__(
        self,
        mesher: Mesher,
        preprocessing: Preprocessing,
        clock: StageClock | None = None,
        scope: Scope = WHOLE,
    ) -> None:
        self._mesher = mesher
        self._preprocessing = preprocessing
        self._clock = clock
        self._tracker: Tracker[Face] = Tracker()
        self._cuts = CutDetector()
        self._chooser = Chooser(scope)
        self._returning = Returning() if scope.reidentify else None

    def find(self, frame: Frame) -> Found:
        """Take the next frame: `is_cut`, `mesh` and `follow`, which may each run in a thread of its own."""
        return self.follow(self.mesh(frame, self.is_cut(frame)))

    def is_cut(self, frame: Frame) -> bool:
        """Whether the next frame shows another scene than the last one."""
        with self._timed("faces"):
            return self._cuts.is_cut(frame.image)

    def mesh(self, frame: Frame, is_cut: bool) -> Meshed:
        """Find the meshes of the next frame."""
        with self._timed("faces"):
            if frame.breaks or is_cut:
                self._mesher.reset()
            faces = self._mesher.find(frame.image)
            return Meshed(frame, is_cut, faces, max(len(faces), self._mesher.seen))

    def follow(self, meshed: Meshed) -> Found:
        """Tell whose the meshes of the next frame are, and choose those that the scope asks for."""
        frame = meshed.frame
        with self._timed("faces"):
            if frame.breaks:
                self._tracker.reset()
            elif meshed.is_cut:
                self._tracker.cut()
            if frame.breaks or meshed.is_cut:
                self._chooser.forget()
            tracked = self._followed(frame, self._chooser.inside(meshed.faces))
            height, width = frame.image.shape[:2]
            faces = self._chooser.person(tracked, frame.timestamp_s, (width, height))
        return Found(frame, faces, meshed.seen, len(meshed.faces) - len(faces))

    def _followed(self, frame: Frame, faces: list[Face]) -> dict[int, Face]:
        """The faces by track id."""
        looks: dict[int, Look | None] = {}

        def look(face: Face) -> Look | None:
            looks[id(face)] = made = look_at(frame.image, face.landmarks_px)
            return made

        tracked = dict(zip(self._tracker.update(faces, frame.timestamp_s, look), faces, strict=True))
        if self._returning is not None:
            shown = {track: looks[id(face)] if _large(face) else None for track, face in tracked.items()}
            numbers = self._returning.numbers(shown, frame.timestamp_s)
            tracked = {numbers[track]: face for track, face in tracked.items()}
        return dict(sorted(tracked.items()))

    def crops(self, found: Found) -> dict[int, Crop]:
        """Track id -> aligned crop (S, S, 3) uint8 BGR; a face whose mesh is too degenerate to align is left out."""
        with self._timed("align"):
            return dict(self._aligned(found.frame, found.faces))

    def cut(self, frame: Frame) -> dict[int, Crop]:
        """`find` and `crops` in one step."""
        return self.crops(self.find(frame))

    def largest(self, frame: Frame) -> Crop | None:
        """The crop of the largest face; None without one, or with a mesh too degenerate to align."""
        found = self.find(frame)
        if not found.faces:
            return None
        largest = max(found.faces, key=lambda track_id: area(found.faces[track_id].box_px))
        return self.crops(Found(frame, {largest: found.faces[largest]}, found.seen)).get(largest)

    def close(self) -> None:
        """Close the face models: no frames follow."""
        self._mesher.close()

    def _timed(self, stage: str) -> AbstractContextManager[None]:
        return self._clock(stage) if self._clock else nullcontext()

    def _aligned(self, frame: Frame, faces: Mapping[int, Face]) -> list[tuple[int, Crop]]:
        cut_out = []
        for track_id, face in faces.items():
            try:
                crop = align(frame.image, face.landmarks_px, self._preprocessing.template, self._preprocessing.size_px)
            except InputError:
                continue
            cut_out.append((track_id, crop))
        return cut_out


def _large(face: Face) -> bool:
    x0, y0, x1, y1 = face.box_px
    return min(x1 - x0, y1 - y0) >= TOLD_PX
