"""Face meshes from the models in MediaPipe's wheel, near faces and far ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import Box, box_around, iou
from .quiet import quiet

Mesh = NDArray[np.float32]

SEARCH_PERIOD = 10  # frames between two searches of a video for far faces
EMPTY_SEARCH_PERIOD = 3  # the same while no face is known
CLOSE_UP = 2.0  # side of the part of a frame that is meshed alone, in sides of the face's box
SAME_FACE_IOU = 0.3

_BLANK = np.zeros((64, 64, 3), np.uint8)


class SolutionsEngine:
    """Whole-frame mesh first, close-ups for what it misses.

    The whole-frame mesh follows faces steadily and fast, but its detector sees only faces within about two metres.
    A full-range detector finds the others now and then; each is meshed in a close-up, and from then on in a close-up
    around its last mesh, until it is lost or the whole-frame mesh has it.

    MediaPipe looks for further faces in every frame in which it follows fewer than it may. In a video with one face
    that is a quarter of the work for nothing, so there is a second whole-frame mesh that follows one face at most: it
    is used while no second face is known.
    """

    def __init__(self, solutions: Any, max_faces: int, still: bool) -> None:
        self._still = still
        self._max_faces = max_faces
        mesh = solutions.face_mesh.FaceMesh
        with quiet:
            _provoke(mesh)
            self._crowd = mesh(static_image_mode=still, max_num_faces=max_faces, refine_landmarks=True)
            self._alone = mesh(max_num_faces=1, refine_landmarks=True) if max_faces > 1 and not still else self._crowd
            self._close_up = mesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
            self._detector = solutions.face_detection.FaceDetection(model_selection=1)
            self._graphs = {self._crowd, self._alone, self._close_up, self._detector}
            for graph in self._graphs:
                graph.process(_BLANK)  # graphs start in the background; an answer means that one has
        self._forget()

    def find(self, rgb: NDArray[np.uint8]) -> list[Mesh]:
        """Meshes (478, 3) of the faces in an (H, W, 3) RGB image, in its pixels."""
        meshes = self._find(rgb)
        self._frames += 1
        return meshes

    def reset(self) -> None:
        if self._frames and not self._still:
            with quiet:
                for graph in {self._crowd, self._alone}:
                    graph.reset()
                    graph.process(_BLANK)
        self._forget()

    def close(self) -> None:
        for graph in self._graphs:
            graph.close()

    def _forget(self) -> None:
        self._frames = 0
        self._whole = self._alone
        self._followed: list[Mesh] = []

    def _find(self, rgb: NDArray[np.uint8]) -> list[Mesh]:
        meshes = _meshes(self._whole, rgb)
        candidates = [box_around(mesh) for mesh in self._followed]
        period = SEARCH_PERIOD if meshes or candidates else EMPTY_SEARCH_PERIOD
        searches = self._still or self._frames % period == 0
        if searches and len(meshes) < self._max_faces:
            candidates += _detections(self._detector, rgb)
        followed = []
        for box in candidates:
            if len(meshes) < self._max_faces and not _covered(box, meshes):
                found = [mesh for mesh in _close_up(self._close_up, rgb, box) if not _covered(box_around(mesh), meshes)]
                meshes += found
                followed += found
        self._followed = [] if self._still else followed
        self._choose(len(meshes), searches)
        return meshes

    def _choose(self, faces: int, searched: bool) -> None:
        """Which mesh takes the next frame: the one for several faces until a search has found no second one."""
        several = faces > 1 or (self._whole is self._crowd and not searched)
        if (self._crowd if several else self._alone) is not self._whole:
            self._whole.process(_BLANK)  # it forgets the faces that it followed
            self._whole = self._crowd if several else self._alone


@functools.cache
def _provoke(mesh: Any) -> None:
    """Have MediaPipe say now what it says once a process, at the first face: with no thresholds all is a face."""
    options = {"min_detection_confidence": 0.0, "min_tracking_confidence": 0.0}
    with mesh(static_image_mode=True, refine_landmarks=True, **options) as anything:
        anything.process(_BLANK)


def _covered(box: Box, meshes: list[Mesh]) -> bool:
    return any(iou(box, box_around(mesh)) > SAME_FACE_IOU for mesh in meshes)


def _detections(detector: Any, rgb: NDArray[np.uint8]) -> list[Box]:
    height, width = rgb.shape[:2]
    boxes = [d.location_data.relative_bounding_box for d in detector.process(rgb).detections or ()]
    return [(b.xmin * width, b.ymin * height, (b.xmin + b.width) * width, (b.ymin + b.height) * height) for b in boxes]


def _close_up(graph: Any, rgb: NDArray[np.uint8], box: Box) -> list[Mesh]:
    """Mesh the face in a square around the box, clipped to the frame."""
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    reach = max(box[2] - box[0], box[3] - box[1]) * CLOSE_UP / 2
    limit = np.array(rgb.shape[1::-1])
    low = np.clip(centre - reach, 0, limit - 1).astype(int)
    high = np.clip(centre + reach, low + 1, limit).astype(int)
    part = np.ascontiguousarray(rgb[low[1] : high[1], low[0] : high[0]])
    return [mesh + np.array([*low, 0], np.float32) for mesh in _meshes(graph, part)]


def _meshes(graph: Any, rgb: NDArray[np.uint8]) -> list[Mesh]:
    height, width = rgb.shape[:2]
    scale = np.array([width, height, width], np.float32)
    found = graph.process(rgb).multi_face_landmarks or ()
    return [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale for face in found]
