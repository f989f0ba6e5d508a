"""Face meshes from the models in MediaPipe's wheel, near faces and far ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...boxes import Box, box_around
from ...quiet import quiet
from ..small import Mesh, SmallFaces, covered
from .same_thread import in_this_thread

SEARCH_PERIOD = 10  # frames between two searches of a video for faces that are not known
EMPTY_SEARCH_PERIOD = 3  # the same while no face is known
FAR_SEARCHES = 2  # of so many searches beside one face that is alone, one asks the full-range detector: it takes 7 ms
LONELY = 30  # frames without a second face, after which one is looked for less

_BLANK = np.zeros((64, 64, 3), np.uint8)

# A landmark as protobuf writes it: a message of 15 bytes, three floats each after its tag.
_LANDMARK_BYTES = 17
_TAGS_AT, _TAGS = (0, 1, 2, 7, 12), (0x0A, 15, 0x0D, 0x15, 0x1D)
_FLOATS_AT = (*range(3, 7), *range(8, 12), *range(13, 17))


class SolutionsEngine:
    """Whole-frame mesh first, close-ups for what it misses.

    The whole-frame mesh follows faces steadily and fast, but its detector sees only faces within about two metres.
    A full-range detector finds the others now and then, half as often beside a face that has long been alone, and in
    large pictures it looks at tiles too. `SmallFaces` meshes and follows what it finds.

    MediaPipe looks for further faces in every frame in which it follows fewer than it may. In a video with one face
    that is a quarter of the work for nothing, so while no second face is known a mesh that follows one at most is used,
    and MediaPipe's detector asked now and then. No switch loses a face: both meshes have to have it.
    """

    def __init__(self, solutions: Any, max_faces: int, still: bool) -> None:
        self._still = still
        mesh = in_this_thread(solutions.face_mesh.FaceMesh)
        detection = in_this_thread(solutions.face_detection.FaceDetection)
        switches = max_faces > 1 and not still
        with quiet:
            _provoke(mesh)
            self._several = mesh(static_image_mode=still, max_num_faces=max_faces, refine_landmarks=True)
            self._close_up = mesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
            self._far = detection(model_selection=1)
            self._one = mesh(max_num_faces=1, refine_landmarks=True) if switches else self._several
            self._near = detection(model_selection=0) if switches else None  # asked only beside `_one`
            self._graphs = [self._several, self._close_up, self._far] + [self._one, self._near] * switches
            for graph in self._graphs:
                graph.answer(_BLANK)  # graphs start at the first frame
        self._small = SmallFaces(
            lambda part: _detections(self._far, part), lambda part: meshes_of(self._close_up, part), max_faces, still
        )
        self._forget()

    def find(self, rgb: NDArray[np.uint8]) -> tuple[list[Mesh], int]:
        """As `FaceEngine`."""
        found = self._find(rgb)
        self._frames += 1
        return found

    def reset(self) -> None:
        if self._frames and not self._still:
            self._whole.answer(_BLANK)  # it forgets whom it followed
        self._forget()

    def close(self) -> None:
        for graph in self._graphs:
            graph.close()

    def _forget(self) -> None:
        self._frames = 0
        self._whole = self._one
        self._lonely = 0  # frames in a row with less than two faces
        self._small.forget()

    def _find(self, rgb: NDArray[np.uint8]) -> tuple[list[Mesh], int]:
        meshes = meshes_of(self._whole, rgb)
        period = SEARCH_PERIOD if meshes or self._small.followed else EMPTY_SEARCH_PERIOD
        searches = self._still or self._frames % period == 0
        boxes: list[Box] = []
        if searches and self._whole is not self._several:
            meshes, boxes = self._look_for_more(rgb, meshes)
        # Where a second face was a moment ago, a search looks far each time: it may only have been hidden.
        alone = not self._still and bool(meshes) and self._lonely >= LONELY
        looks_far = searches and (not alone or self._frames % (FAR_SEARCHES * SEARCH_PERIOD) == 0)
        tiled: list[Box] = []
        if looks_far:
            boxes += _detections(self._far, rgb)
            tiled = self._small.in_tiles(rgb, [*boxes, *map(box_around, meshes)])
        meshes, seen = self._small.complete(rgb, meshes, boxes, tiled, looks_far)
        self._lonely = self._lonely + 1 if len(meshes) < 2 else 0
        if searches and self._whole is not self._one and self._lonely >= LONELY:
            self._hand_over(self._one, rgb, meshes)
        return meshes, seen

    def _look_for_more(self, rgb: NDArray[np.uint8], meshes: list[Mesh]) -> tuple[list[Mesh], list[Box]]:
        """Ask the detector for a second face near by; returns the meshes now known, and boxes that may be faces."""
        boxes = [box for box in _detections(self._near, rgb) if not covered(box, meshes)] if meshes else []
        more = self._hand_over(self._several, rgb, meshes) if boxes else None
        return (meshes, boxes) if more is None else (more, [])

    def _hand_over(self, to: Any, rgb: NDArray[np.uint8], meshes: list[Mesh]) -> list[Mesh] | None:
        """Use another whole-frame mesh from now on, if it sees all that is known; returns what it sees."""
        seen = meshes_of(to, rgb)
        takes = all(covered(box_around(mesh), seen) for mesh in meshes)
        (self._whole if takes else to).answer(_BLANK)  # it forgets whom it followed
        if takes:
            self._whole, self._lonely = to, 0
        return seen if takes else None


@functools.cache
def _provoke(mesh: Any) -> None:
    """Have MediaPipe say now what it says once a process, at the first face: with no thresholds all is a face."""
    options = {"min_detection_confidence": 0.0, "min_tracking_confidence": 0.0}
    with mesh(static_image_mode=True, refine_landmarks=True, **options) as anything:
        anything.process(_BLANK)


def _detections(detector: Any, rgb: NDArray[np.uint8]) -> list[Box]:
    from mediapipe.framework.formats.detection_pb2 import Detection

    height, width = rgb.shape[:2]
    found = [Detection.FromString(written) for written in detector.answer(rgb)]
    boxes = [one.location_data.relative_bounding_box for one in found]
    return [(b.xmin * width, b.ymin * height, (b.xmin + b.width) * width, (b.ymin + b.height) * height) for b in boxes]


def meshes_of(graph: Any, rgb: NDArray[np.uint8]) -> list[Mesh]:
    height, width = rgb.shape[:2]
    scale = np.array([width, height, width], np.float32)
    return [points_of(written) * scale for written in graph.answer(rgb)]


def points_of(written: bytes) -> Mesh:
    """(n, 3) x, y and z of a list of landmarks as protobuf writes it.

    They are read all at once: to ask a message for each takes a hundred times as long.
    """
    rows = np.frombuffer(written, np.uint8)
    if rows.size % _LANDMARK_BYTES == 0:
        rows = rows.reshape(-1, _LANDMARK_BYTES)
        if (rows[:, _TAGS_AT] == _TAGS).all():
            return rows.take(_FLOATS_AT, axis=1).view("<f4").astype(np.float32, copy=False)
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList

    landmarks = NormalizedLandmarkList.FromString(written).landmark
    return np.array([(point.x, point.y, point.z) for point in landmarks], np.float32)
