"""Scores of the field: integer counts of frames and of events first, ratios of them last.

Labels are 1 (occurs), 0 (does not) and -1 (unknown or padding: counted nowhere).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
OVERLAP = 0.5  # least intersection over union, in frames, of an event and its counterpart


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives, int64, shape (..., N); they add up over batches, videos and subjects."""

    tp: Integers
    fp: Integers
    fn: Integers
    tn: Integers

    def pooled(self) -> Counts:
        """Counts of shape (S, N) added up over S."""
        return Counts(*(getattr(self, f.name).sum(axis=0) for f in fields(self)))

    @property
    def f1(self) -> Floats:
        """2 TP / (2 TP + FP + FN), one per AU; NaN where an AU never occurs, whatever is predicted.

        So labels alone decide which AUs enter a mean, and they are the same for all models on the same frames.
        """
        return np.where(self.tp + self.fn > 0, _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn), np.nan)

    @property
    def accuracy(self) -> Floats:
        """Share of known frames that are right, one per AU; NaN where none is known."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    @property
    def f1_macro(self) -> float:
        """Mean of F1 over the AUs that have one: the figure that papers print."""
        return mean(self.f1)

    @property
    def f1_micro(self) -> float:
        """F1 of all AUs' counts pooled."""
        tp, fp, fn = self.tp.sum(), self.fp.sum(), self.fn.sum()
        return float(_ratio(2 * tp, 2 * tp + fp + fn))


def count(predicted: NDArray[np.bool_], labels: NDArray[Any]) -> Counts:
    """Count decisions of shape (n, N) against labels (n, N) in {0, 1, -1}."""
    check_labels(labels)
    if predicted.shape != labels.shape or predicted.dtype != np.bool_:
        raise InputError(
            f"decisions must be booleans of the labels' shape {labels.shape}; got {predicted.dtype} {predicted.shape}"
        )
    yes, no = labels == 1, labels == 0
    pairs = ((predicted, yes), (predicted, no), (~predicted, yes), (~predicted, no))
    return Counts(*(np.count_nonzero(a & b, axis=0).astype(np.int64) for a, b in pairs))


def area_under_curve(scores: NDArray[np.floating], labels: NDArray[Any]) -> Floats:
    """Area under the ROC curve, one per AU: how often an occurring frame scores above another, ties counting half.

    NaN where an AU always or never occurs. Scores and labels are (n, N); labels of -1 are left out.

    Raises:
        InputError: the shapes differ, a label is no label, or a score of a known frame is not finite.
    """
    from scipy.stats import rankdata

    check_labels(labels)
    check_scores(scores, labels)
    areas = np.full(labels.shape[1], np.nan)
    for au in range(labels.shape[1]):
        known = labels[:, au] >= 0
        positive = labels[known, au] == 1
        n, m = int(positive.sum()), int((~positive).sum())
        if n and m:
            ranks = rankdata(scores[known, au])
            areas[au] = (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)
    return areas


def mean(values: Sequence[float] | Floats) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if defined.size else float("nan")


def check_labels(labels: NDArray[Any]) -> None:
    """Refuse labels that are not (n, N), or have a value other than 0, 1 and -1."""
    if labels.ndim != 2:
        raise InputError(f"labels must be (frames, AUs); got shape {labels.shape}")
    wrong = np.argwhere((labels != 0) & (labels != 1) & (labels != -1))
    if len(wrong):
        row, au = wrong[0]
        raise InputError(f"labels must be 0, 1 or -1 (unknown); row {row}, column {au} has {labels[row, au]}")


def check_scores(scores: NDArray[np.floating], labels: NDArray[Any]) -> None:
    """Refuse scores of another shape than the labels, or that are not finite where labels are known."""
    if scores.shape != labels.shape:
        raise InputError(f"scores must have the labels' shape {labels.shape}; got {scores.shape}")
    wrong = np.argwhere(~np.isfinite(scores) & (labels >= 0))
    if len(wrong):
        row, au = wrong[0]
        raise InputError(f"scores of known frames must be finite; row {row}, column {au} has {scores[row, au]}")


def _ratio(part: Any, whole: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


@dataclass(frozen=True)
class EventCounts:
    """How many events there were and how many had a counterpart, int64 (N,); they add up over videos."""

    predicted: Integers
    predicted_found: Integers
    true: Integers
    true_found: Integers

    @property
    def f1(self) -> Floats:
        """Harmonic mean of the shares found, one per AU; NaN where the labels have no event, whatever is predicted."""
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
