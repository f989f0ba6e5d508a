"""Events: an AU's frames from onset to offset, found or missed as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .metrics import Floats, Integers, check_labels, mean

OVERLAP = 0.5


@dataclass(frozen=True)
class EventCounts:
    """How many events there were and how many had a counterpart, int64 (N,); they add up over videos."""

    predicted: Integers
    predicted_found: Integers
    true: Integers
    true_found: Integers

    @property
    def f1(self) -> Floats:
        """Harmonic mean of the shares found, one an AU; NaN where the labels have no event, whatever is predicted."""
        both = 2 * self.predicted_found * self.true_found
        whole = self.predicted_found * self.true + self.true_found * self.predicted
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.true == 0, np.nan, np.where(whole > 0, both / whole, 0.0))

    @property
    def f1_macro(self) -> float:
        return mean(self.f1)


def runs(active: NDArray[np.bool_]) -> Integers:
    """First frame and the frame after the last of every stretch of True: (events, 2)."""
    steps = np.diff(np.concatenate(([0], active.astype(np.int8), [0])))
    return np.stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)], axis=1)


def overlaps(first: Integers, second: Integers) -> Floats:
    """Shared frames over frames of either: (events, events) for two lists of events (., 2)."""
    shared = np.minimum(first[:, None, 1], second[None, :, 1]) - np.maximum(first[:, None, 0], second[None, :, 0])
    shared = shared.clip(min=0)
    lengths = (first[:, 1] - first[:, 0])[:, None] + (second[:, 1] - second[:, 0])[None]
    return shared / np.maximum(lengths - shared, 1)


def count_events(predicted: NDArray[np.bool_], labels: NDArray[Any], videos: Iterable[slice]) -> EventCounts:
    """Count events of every AU. An event is found if one of the other side shares at least half with it.

    Sharing is intersection over union in frames. Events end where a video does and where labels are unknown (-1),
    on both sides, so that a stretch nobody coded neither adds an event nor joins two.

    Args:
        predicted: (n, N) decisions; labels: (n, N) in {0, 1, -1}.
        videos: rows of consecutive frames, as `FrameList.runs()` gives.
    """
    check_labels(labels)
    if predicted.shape != labels.shape:
        raise InputError(f"decisions must have the labels' shape {labels.shape}; got {predicted.shape}")
    totals = np.zeros((4, labels.shape[1]), np.int64)
    for video in videos:
        for au in range(labels.shape[1]):
            known = labels[video, au] >= 0
            ours, theirs = runs(predicted[video, au] & known), runs(labels[video, au] == 1)
            totals[:, au] += _matched(ours, theirs)
    return EventCounts(*totals)


def _matched(ours: Integers, theirs: Integers) -> tuple[int, int, int, int]:
    if not len(ours) or not len(theirs):
        return len(ours), 0, len(theirs), 0
    shares = overlaps(ours, theirs) >= OVERLAP
    return len(ours), int(shares.any(axis=1).sum()), len(theirs), int(shares.any(axis=0).sum())
