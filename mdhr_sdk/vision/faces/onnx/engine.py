"""Faces by converted graphs: the detector now and then, the mesh in every frame, all faces of a frame in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...boxes import area, box_around, iou
from ..small import Mesh, SmallFaces, covered
from .face_detector import FaceDetector
from .record import DETECTOR, MESH
from .regions import Region, around_mesh
from .session import Session, open_session

SEARCH_PERIOD = (
    10  # frames between two searches of a video for faces that are not known; without any known, one a frame
)
LEAST_PRESENCE = 0.5  # below it there is no face in a region
SAME_REGION_IOU = 0.5


class FaceMesh:
    """The mesh of the face in each of some regions."""

    def __init__(self, session: Session, size_px: int) -> None:
        self._session = session
        self._size_px = size_px

    def find(self, rgb: NDArray[np.uint8], regions: Sequence[Region]) -> list[Mesh | None]:
        """(478, 3) in pixels of the picture, a region; None for one that holds no face."""
        if not regions:
            return []
        answer = self._session.run(np.stack([region.cut(rgb, self._size_px) for region in regions]))
        presence = 1 / (1 + np.exp(-answer["presence"][:, 0]))
        points = answer["landmarks"].reshape(len(regions), -1, 3)
        return [
            region.back(mesh, self._size_px) if sure >= LEAST_PRESENCE else None
            for region, mesh, sure in zip(regions, points, presence, strict=True)
        ]


class OnnxEngine:
    """Follows faces by their meshes, and looks for others now and then.

    Args:
        graphs: bytes of the converted graphs by name, as `mdhr faces export` makes them.
        size_px: side of the pictures that the mesh's network takes.
    """

    def __init__(self, graphs: Mapping[str, bytes], size_px: int, max_faces: int, still: bool) -> None:
        self._detector = FaceDetector(open_session(graphs[DETECTOR], DETECTOR))
        self._mesh = FaceMesh(open_session(graphs[MESH], MESH), size_px)
        self._max_faces, self._still = max_faces, still
        self._small = SmallFaces(
            lambda part: [one.box for one in self._detector.find(part)], self._close_up, max_faces, still
        )
        self._followed: list[Mesh] = []
        self._frames = 0  # since the last reset

    def find(self, rgb: NDArray[np.uint8]) -> tuple[list[Mesh], int]:
        """As `FaceEngine`."""
        known = self._followed or self._small.followed
        searches = self._still or not known or self._frames % SEARCH_PERIOD == 0
        self._frames += 1
        regions = [around_mesh(mesh) for mesh in self._followed]
        boxes = []
        if searches:
            found = [one for one in self._detector.find(rgb) if not covered(one.box, self._followed)]
            boxes = [one.box for one in found]
            regions += [one.region for one in found]
        if not self._still:
            regions = regions[: self._max_faces]
        meshes = _apart([mesh for mesh in self._mesh.find(rgb, regions) if mesh is not None])
        self._followed = [] if self._still else meshes
        tiled = self._small.in_tiles(rgb, [*boxes, *map(box_around, meshes)]) if searches else []
        return self._small.complete(rgb, meshes, boxes, tiled, searches)

    def reset(self) -> None:
        self._followed, self._frames = [], 0
        self._small.forget()

    def close(self) -> None:
        del self._detector, self._mesh

    def _close_up(self, part: NDArray[np.uint8]) -> list[Mesh]:
        """The mesh of the largest face in a part of a frame."""
        found = sorted(self._detector.find(part), key=lambda one: area(one.box))[-1:]
        return [mesh for mesh in self._mesh.find(part, [one.region for one in found]) if mesh is not None]


def _apart(meshes: Sequence[Mesh]) -> list[Mesh]:
    """Those that are not of the same face as an earlier one."""
    kept: list[Mesh] = []
    for mesh in meshes:
        if all(iou(box_around(mesh), box_around(other)) <= SAME_REGION_IOU for other in kept):
            kept.append(mesh)
    return kept
