"""From probabilities to named action units and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..modelfolder.config import Preprocessing
from ..results import AUScore, Baseline, FaceResult, ModelInfo
from ..vision import Face, Source


@dataclass(frozen=True)
class Naming:
    """From probabilities to named action units.

    Attributes:
        info: the model that gave them.
        thresholds: code -> probability from which the AU occurs, in the model's order.
        preprocessing: how the model wants its crops.
        places: of these AUs among the model's N scores; None where they are all.
    """

    info: ModelInfo
    thresholds: Mapping[str, float]
    preprocessing: Preprocessing
    places: tuple[int, ...] | None = None

    def check(self, source: Source) -> None:
        """Refuse an open source that has no neutral seconds, with InputError, where they are wanted."""
        if self.info.neutral_s and source.info.still:
            raise InputError(f"calibrate_neutral_s needs a video, and '{source.name}' is a still")

    def face(
        self, track_id: int, face: Face, probabilities: NDArray[np.float32], baseline: Baseline = "off"
    ) -> FaceResult:
        """Name the probabilities (N,) and decide."""
        kept = probabilities if self.places is None else probabilities[list(self.places)]
        pairs = zip(self.thresholds.items(), kept, strict=True)
        aus = {code: AUScore(code, float(p), bool(p >= threshold)) for (code, threshold), p in pairs}
        return FaceResult(track_id, face.box_px, face.landmarks_px, aus, baseline)
