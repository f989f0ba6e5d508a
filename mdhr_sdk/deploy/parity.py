"""An exported graph must answer what the model it came from answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import FolderConfig

BATCHES = (1, 3)  # another batch than the export's catches shapes that were baked in
MAX_SCORE_ERROR = 1e-4

Run = Callable[[NDArray[np.float32]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class ParityReport:
    """Reference against artefact, over all clips.

    Attributes:
        clips: how many clips were compared.
        max_score_error, mean_score_error: absolute differences of the scores.
        decision_flips: scores on the other side of their threshold.
        region_flips: frames and groups whose most likely AU combination differs.
        not_finite: values of the artefact that are NaN or infinite.
    """

    clips: int
    max_score_error: float
    mean_score_error: float
    decision_flips: int
    region_flips: int
    not_finite: int

    @property
    def passed(self) -> bool:
        return self.not_finite == 0 and self.max_score_error <= MAX_SCORE_ERROR

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def probe_clips(config: FolderConfig, batch: int) -> NDArray[np.float32]:
    """(batch, T, 3, S, S): smooth random faces-sized images with motion from subtle to large, one seed a batch."""
    rng = np.random.default_rng(batch)
    size, frames = config.model.input_size_px, config.clip_length
    coarse = rng.standard_normal((2, batch, 1, 3, size // 8, size // 8), dtype=np.float32)
    still, move = np.kron(coarse, np.ones((8, 8), np.float32))
    strength = np.geomspace(0.02, 0.5, batch, dtype=np.float32).reshape(batch, 1, 1, 1, 1)
    phase = np.sin(np.arange(frames, dtype=np.float32) / 3).reshape(1, frames, 1, 1, 1)
    return still + strength * phase * move


def compare(config: FolderConfig, reference: Run, artefact: Run) -> ParityReport:
    """Run both on the same clips. Each takes a clip batch and gives 'scores' and 'region_logits_i' by name."""
    thresholds = np.asarray(config.thresholds, np.float32)
    errors, decisions, regions, not_finite = [], 0, 0, 0
    for batch in BATCHES:
        clip = probe_clips(config, batch)
        wanted, got = reference(clip), artefact(clip)
        errors.append(np.abs(wanted["scores"] - got["scores"]).ravel())
        decisions += int(((wanted["scores"] >= thresholds) != (got["scores"] >= thresholds)).sum())
        not_finite += sum(int((~np.isfinite(value)).sum()) for value in got.values())
        regions += sum(
            int((wanted[name].argmax(-1) != got[name].argmax(-1)).sum()) for name in wanted if name != "scores"
        )
    error = np.concatenate(errors)
    largest = float(np.nan_to_num(error, nan=np.inf).max())
    return ParityReport(sum(BATCHES), largest, float(error.mean()), decisions, regions, not_finite)
