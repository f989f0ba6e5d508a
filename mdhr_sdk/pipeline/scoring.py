"""What clip and stream scoring have in common: crops in, scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Cut:
    """A frame of a source as it is scored.

    Attributes:
        index: of the frame.
        crops: (S, S, 3) uint8 BGR, by track.
        dropped: frames of the source that were passed over before it.
        timestamp_s: as of `Frame`.
    """

    index: int
    crops: Mapping[int, Crop]
    dropped: int = 0
    timestamp_s: float = 0.0


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

    def push(self, frames: Mapping[int, Cut]) -> dict[int, list[Scored]]:
        """Take the next frame of some sources."""
        ...

    def flush(self, source: int) -> list[Scored]:
        """End a source: returns its remaining scores."""
        ...
