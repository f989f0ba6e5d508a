"""Scores relative to a person's own neutral face.

Faces at rest differ: one that scores 0.6 on AU4 at rest would seem to frown for ever. The scores of the
first seconds of a source, taken as neutral, give each AU of each face its offset on the logit scale, as in a logistic
model with an intercept a person:

    logit(p') = logit(p) - max(0, logit(m) - logit(NEUTRAL))

where m is the median of the AU's scores over these seconds. So a face at rest scores at most `NEUTRAL`; 0 stays 0, and
the order of scores is kept. Scores are never raised: a face below `NEUTRAL` at rest is left alone. Near 0, where the
model cuts cosines off, logits are large and say little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..results import Baseline

NEUTRAL = 0.2  # most that an AU may score on a neutral face
SHARE = 0.5  # of the neutral frames in which a face must be seen to have a reference
MOST = 1 - 1e-6  # a score of 1 has no logit
Scores = NDArray[np.float32]


class NeutralBaseline:
    """Takes the frames of one source in order; corrects those after the neutral seconds.

    The neutral frames themselves are marked and stay as they are: a stream cannot look back, and files are treated
    alike. A face that was not there for half of them, or has a new track id (after a cut, or more than a second away),
    has no reference: it is marked too and stays as it is.

    Args:
        seconds: how long the source's beginning is taken as neutral.

    Raises:
        ConfigError: not a finite number above 0.
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigError(f"the neutral seconds must be a number above 0, as in 2.0; got {seconds!r}")
        self.seconds = float(seconds)
        self._began_s: float | None = None
        self._frames = 0
        self._seen: dict[int, list[Scores]] = {}
        self._ratios: dict[int, NDArray[np.float64]] | None = None  # None until the neutral seconds are over

    def correct(self, timestamp_s: float, scores: Mapping[int, Scores]) -> dict[int, tuple[Scores, Baseline]]:
        """Take the next frame, also one without faces.

        Args:
            scores: track id -> (N,) in [0, 1].

        Returns:
            Track id -> scores (N,) to report, and what was done to them.
        """
        if self._began_s is None:
            self._began_s = timestamp_s
        if self._ratios is None and timestamp_s - self._began_s >= self.seconds - 1e-6:  # times are sums of floats
            enough = SHARE * self._frames
            self._ratios = {track: _ratio(rows) for track, rows in self._seen.items() if len(rows) >= enough}
            self._seen.clear()
        if self._ratios is None:
            self._frames += 1
            for track, row in scores.items():
                self._seen.setdefault(track, []).append(row)
            return {track: (row, "neutral") for track, row in scores.items()}
        return {
            track: (_relative(row, self._ratios[track]), "applied") if track in self._ratios else (row, "missing")
            for track, row in scores.items()
        }


def _ratio(rows: list[Scores]) -> NDArray[np.float64]:
    """(N,) by which odds are divided, at least 1: e to the offset."""
    median = np.minimum(np.median(np.stack(rows).astype(np.float64), axis=0), MOST)
    ratio: NDArray[np.float64] = np.maximum(1.0, median / (1 - median) / (NEUTRAL / (1 - NEUTRAL)))
    return ratio


def _relative(row: Scores, ratio: NDArray[np.float64]) -> Scores:
    """The formula without logarithms, so that 0 is no special case."""
    score = np.minimum(row.astype(np.float64), MOST)
    return np.where(ratio > 1, score / (score + (1 - score) * ratio), row).astype(np.float32)
