"""What clip and stream scoring have in common: crops in, scores out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """Crops go in frame by frame, and scores come out when they are complete. One object a source."""

    def push(self, index: int, crops: Mapping[int, Crop]) -> Iterator[Scored]:
        """Take frame `index` with the crop (S, S, 3), uint8 BGR, of each track in it."""
        ...

    def flush(self) -> Iterator[Scored]:
        """Nothing follows."""
        ...
