"""What clip and stream scoring have in common: crops in, scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scored:
    """Probabilities (N,) of the face `track_id` in frame `index` of the source."""

    index: int
    track_id: int
    probabilities: NDArray[np.float32]


class Scoring(Protocol):
    """Crops of one or more sources go in frame by frame, and scores come out when they are complete.

    There is one object per run, and its sources have numbers. If the model fails, `flush` still gives the scores from
    before.
    """

    def push(self, frames: Mapping[int, tuple[int, Mapping[int, Crop]]]) -> dict[int, list[Scored]]:
        """Take the next frame of some sources: source -> (index, crop (S, S, 3), uint8 BGR, of each track in it)."""
        ...

    def flush(self, source: int) -> list[Scored]:
        """End a source: returns its remaining scores."""
        ...
