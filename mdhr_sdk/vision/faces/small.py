"""Small faces: found in parts of a frame, then meshed and followed in close-ups. All engines share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..boxes import Box, box_around, iou
from .tiles import Tile, cut_tile, merged, same_face, still_scales, too_fine, video_tiles

Mesh = NDArray[np.float32]
Picture = NDArray[np.uint8]

CLOSE_UP = 2.0  # side of the part of a frame that is meshed alone, in sides of the face's box
SAME_FACE_IOU = 0.3
LOST_FRAMES = 40  # frames for which a lost face is searched at its last place: over a second at 30 frames a second


class SmallFaces:
    """Completes the meshes of a whole frame with the faces that are too small for it.

    A still is searched in tiles of every scale, but for those of faces less than a sixth as large as its largest one. A
    video is searched in all tiles at its first search, and in one tile at each further search, which bounds the time;
    below 960 pixels it has no tiles. A face once found is meshed in a close-up around its last mesh, until it is lost
    or the whole-frame mesh has it.

    Args:
        detect: boxes of the faces in an (H, W, 3) RGB picture.
        mesh: the mesh of the largest face in such a picture, or none.
        max_faces: most faces of a video's frame. A still gives all, so that they can be counted.
    """

    def __init__(
        self, detect: Callable[[Picture], list[Box]], mesh: Callable[[Picture], list[Mesh]], max_faces: int, still: bool
    ) -> None:
        self._detect = detect
        self._mesh = mesh
        self._max_faces = max_faces
        self._still = still
        self.forget()

    def forget(self) -> None:
        """As for a new source."""
        self.followed: list[Mesh] = []
        self._lost: list[tuple[Box, int]] = []  # where a followed face was, and for how many more frames to look there
        self._next: int | None = None  # tile of the next search; None for all
        self._beyond = 0  # faces beyond `max_faces` at the last search

    def in_tiles(self, rgb: Picture, known: Sequence[Box] = ()) -> list[Box]:
        """Boxes of faces in the tiles whose turn it is; `known` are those of the whole picture."""
        height, width = rgb.shape[:2]
        if self._still:
            return self._on_scales(rgb, known)
        tiles = video_tiles(width, height)
        if self._next is not None and tiles:
            tiles = [tiles[self._next % len(tiles)]]
        self._next = 0 if self._next is None else self._next + 1
        return merged([box for tile in tiles for box in self._in_tile(rgb, tile)])

    def _on_scales(self, rgb: Picture, known: Sequence[Box]) -> list[Box]:
        found: list[Box] = []
        for tiles in still_scales(rgb.shape[1], rgb.shape[0]):
            if too_fine(tiles, [*known, *found]):
                break
            found += [box for tile in tiles for box in self._in_tile(rgb, tile)]
        return merged(found)

    def _in_tile(self, rgb: Picture, tile: Tile) -> list[Box]:
        part = cut_tile(rgb, tile)
        x, y, *_ = tile
        found = [] if part is None else self._detect(part)
        return [(x0 + x, y0 + y, x1 + x, y1 + y) for x0, y0, x1, y1 in found]

    def complete(
        self, rgb: Picture, meshes: Sequence[Mesh], boxes: Sequence[Box], tiled: Sequence[Box], counts: bool
    ) -> tuple[list[Mesh], int]:
        """Add the faces in close-ups; returns all meshes, and how many faces were seen.

        Args:
            meshes: what the whole-frame mesh has.
            boxes: where a detector sees faces in the frame.
            tiled: what `in_tiles` gave.
            counts: whether this frame was searched, so that faces beyond `max_faces` are counted anew.
        """
        most = len(meshes) + len(boxes) + len(tiled) if self._still else self._max_faces
        known = [box_around(mesh) for mesh in self.followed]
        places = [*known, *(box for box, _ in self._lost), *boxes]
        all_meshes, new = self._add(rgb, list(meshes), places, most, covered)
        all_meshes, from_tiles = self._add(rgb, all_meshes, tiled, most, _within)
        if not self._still:
            if counts:
                self._beyond = 0
                if len(all_meshes) >= most:
                    more = [*boxes, *tiled]
                    self._beyond = len(self._add(rgb, all_meshes, more, most + len(more), _within)[1])
            self.followed = new + from_tiles
            lost = [(box, LOST_FRAMES) for box in known] + [(box, left - 1) for box, left in self._lost if left > 1]
            self._lost = [(box, left) for box, left in lost if not covered(box, all_meshes)]
        return all_meshes, len(all_meshes) + (self._beyond if len(all_meshes) >= most else 0)

    def _add(
        self,
        rgb: Picture,
        meshes: list[Mesh],
        boxes: Iterable[Box],
        most: int,
        known: Callable[[Box, Sequence[Mesh]], bool],
    ) -> tuple[list[Mesh], list[Mesh]]:
        """`meshes` with those of further faces in close-ups around the boxes, up to `most`; and the further ones."""
        added: list[Mesh] = []
        for box in boxes:
            have = meshes + added
            if len(have) < most and not covered(box, have):
                added += [mesh for mesh in close_up(self._mesh, rgb, box) if not known(box_around(mesh), have)]
        return meshes + added, added


def close_up(mesh: Callable[[Picture], list[Mesh]], rgb: Picture, box: Box) -> list[Mesh]:
    """Mesh the face in a square around the box, clipped to the frame."""
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    reach = max(box[2] - box[0], box[3] - box[1]) * CLOSE_UP / 2
    limit = np.array(rgb.shape[1::-1])
    low = np.clip(centre - reach, 0, limit - 1).astype(int)
    high = np.clip(centre + reach, low + 1, limit).astype(int)
    part = np.ascontiguousarray(rgb[low[1] : high[1], low[0] : high[0]])
    return [found + np.array([*low, 0], np.float32) for found in mesh(part)]


def covered(box: Box, meshes: Iterable[Mesh]) -> bool:
    """Whether a box is that of a face that is meshed already."""
    return any(iou(box, box_around(mesh)) > SAME_FACE_IOU for mesh in meshes)


def _within(box: Box, meshes: Sequence[Mesh]) -> bool:
    """`covered`, or a part of a face that a tile's edge cut off."""
    return covered(box, meshes) or any(same_face(box, box_around(mesh)) for mesh in meshes)
