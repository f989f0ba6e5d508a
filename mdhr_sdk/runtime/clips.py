"""Cutting tracks into the windows that the clip model reads (supplement section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]


@dataclass
class Clip:
    """Consecutive frames of one face: at most T crops (S, S, 3), uint8 BGR, and the frames they come from."""

    track_id: int
    indices: list[int] = field(default_factory=list)
    crops: list[Crop] = field(default_factory=list)

    def padded(self, length: int) -> NDArray[np.uint8]:
        """(length, S, S, 3) uint8 BGR: the crops, then the last one again up to `length`."""
        return np.stack(self.crops + [self.crops[-1]] * (length - len(self.crops)))


class ClipAssembler:
    """Gathers every face's crops into consecutive windows of `length` frames.

    A window ends when it is full, or before a frame that the face is not in: frames across a gap are never
    differences of one clip. So a frame's clip is complete at most `length - 1` frames after it.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._open: dict[int, Clip] = {}

    def push(self, index: int, crops: Mapping[int, Crop]) -> list[Clip]:
        """Add frame `index` with the crop of each track in it; returns the clips that this completes."""
        done = [self._open.pop(track_id) for track_id in list(self._open) if track_id not in crops]
        for track_id, crop in crops.items():
            clip = self._open.setdefault(track_id, Clip(track_id))
            clip.indices.append(index)
            clip.crops.append(crop)
            if len(clip.crops) == self.length:
                done.append(self._open.pop(track_id))
        return done

    def flush(self) -> list[Clip]:
        """Nothing follows: returns the clips still open."""
        done = list(self._open.values())
        self._open.clear()
        return done
