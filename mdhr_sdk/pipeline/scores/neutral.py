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

import logging
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...arguments import is_number
from ...errors import ConfigError
from ...results import Baseline

NEUTRAL = 0.2  # most that an AU may score on a neutral face
SHARE = 0.5  # of the neutral frames in which a face must be seen to have a reference
MOST = 1 - 1e-6  # a score of 1 has no logit
Scores = NDArray[np.float32]

log = logging.getLogger("mdhr_sdk")


class Calibration:
    """The neutral seconds of one face, or of all that are seen in them; they begin with the next frame.

    Attributes:
        track: whose; None for all faces.
        asked_s: by `time.perf_counter`, so that frames from before do not count; None for the next frame.
    """

    def __init__(self, seconds: float, track: int | None = None, asked_s: float | None = None) -> None:
        self.seconds = checked_seconds(seconds)
        self.track = track
        self.asked_s = asked_s
        self._began_s: float | None = None
        self._frames = 0
        self._seen: dict[int, list[Scores]] = {}

    def over(self, timestamp_s: float, read_s: float) -> bool:
        """Whether the seconds are over in the next frame."""
        if self._began_s is None and (self.asked_s is None or read_s >= self.asked_s):
            self._began_s = timestamp_s
        return self._began_s is not None and timestamp_s - self._began_s >= self.seconds - 1e-6  # sums of floats

    def takes(self, track: int) -> bool:
        """Whether a face is calibrated by the frame at hand."""
        return self._began_s is not None and self.track in (None, track)

    def take(self, scores: Mapping[int, Scores]) -> None:
        """Take a frame of the neutral seconds."""
        if self._began_s is not None:
            self._frames += 1
            for track, row in scores.items():
                if self.takes(track):
                    self._seen.setdefault(track, []).append(row)

    def ratios(self) -> dict[int, NDArray[np.float64]]:
        """The references of the faces that were seen for at least half of the time."""
        return {track: _ratio(rows) for track, rows in self._seen.items() if len(rows) >= SHARE * self._frames}


class NeutralBaseline:
    """Takes the frames of one source in order; corrects those after neutral seconds.

    The neutral frames themselves are marked and stay as they are: a stream cannot look back, and files are treated
    alike. A face that was not there for half of them, or has a new track id (after a cut, or more than a second away),
    has no reference: it is marked too and stays as it is. It can be calibrated later.

    Args:
        seconds: how long the source's beginning is taken as neutral; None if it is not.

    Raises:
        ConfigError: not a finite number above 0.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._running: list[Calibration] = [] if seconds is None else [Calibration(seconds)]
        self._asked = seconds is not None
        self._ratios: dict[int, NDArray[np.float64]] = {}

    def calibrate(self, calibration: Calibration) -> None:
        """Take the neutral seconds of a face anew, or of all. A calibration of the same face that runs is replaced."""
        same = (calibration.track,)
        self._running = [one for one in self._running if calibration.track is not None and one.track not in same]
        self._running.append(calibration)
        self._asked = True

    def correct(
        self, timestamp_s: float, scores: Mapping[int, Scores], read_s: float = math.inf
    ) -> dict[int, tuple[Scores, Baseline]]:
        """Take the next frame, also one without faces.

        Args:
            scores: track id -> (N,) in [0, 1].
            read_s: when the frame was read, by `time.perf_counter`.

        Returns:
            Track id -> scores (N,) to report, and what was done to them.
        """
        for one in list(self._running):
            if one.over(timestamp_s, read_s):
                self._running.remove(one)
                self._finish(one)
        for one in self._running:
            one.take(scores)
        return {track: self._corrected(track, row) for track, row in scores.items()}

    def _finish(self, calibration: Calibration) -> None:
        ratios = calibration.ratios()
        self._ratios |= ratios
        if not ratios and calibration.asked_s is not None:
            who = "no face" if calibration.track is None else f"face {calibration.track} not"
            log.warning("calibration: %s seen for half of the %g s; ask again", who, calibration.seconds)

    def _corrected(self, track: int, row: Scores) -> tuple[Scores, Baseline]:
        if any(one.takes(track) for one in self._running):
            return row, "neutral"
        if track in self._ratios:
            return _relative(row, self._ratios[track]), "applied"
        return row, "missing" if self._asked else "off"


def checked_seconds(seconds: float) -> float:
    """`seconds`, if so long a time can be neutral, or ConfigError."""
    if not is_number(seconds) or seconds <= 0:
        raise ConfigError(f"the neutral seconds must be a number above 0, as in 2.0; got {seconds!r}")
    return float(seconds)


def _ratio(rows: list[Scores]) -> NDArray[np.float64]:
    """(N,) by which odds are divided, at least 1: e to the offset."""
    median = np.minimum(np.median(np.stack(rows).astype(np.float64), axis=0), MOST)
    ratio: NDArray[np.float64] = np.maximum(1.0, median / (1 - median) / (NEUTRAL / (1 - NEUTRAL)))
    return ratio


def _relative(row: Scores, ratio: NDArray[np.float64]) -> Scores:
    """The formula without logarithms, so that 0 is no special case."""
    score = np.minimum(row.astype(np.float64), MOST)
    return np.where(ratio > 1, score / (score + (1 - score) * ratio), row).astype(np.float32)
