"""Whether two readings of the same video decide alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdhr_sdk import AUDetector

Decided = tuple[NDArray[np.float64], NDArray[np.bool_]]  # scores and decisions, both (AUs,)


def decided(detector: AUDetector, video: Path, frames: int) -> dict[int, Decided]:
    """Frame -> scores and decisions of its face, of the first frames that have exactly one."""
    found = {}
    for frame in itertools.islice(detector.predict(video, stream=True), frames):
        if len(frame.faces) == 1:
            aus = frame.faces[0].aus.values()
            found[frame.index] = np.array([au.probability for au in aus]), np.array([au.occurrence for au in aus])
    return found


class Agreement:
    """Adds up how far readings agree, over videos; frames count in which both find one face."""

    def __init__(self, codes: Sequence[str]) -> None:
        self._codes = codes
        self._same: list[NDArray[np.bool_]] = []

    def add(self, video: Path, one: Mapping[int, Decided], other: Mapping[int, Decided]) -> str:
        """Take two readings of a video; returns a line about it, with the AUs that differ most."""
        both = sorted(set(one) & set(other))
        if not both:
            return f"{video.name}: no frame in which both readings find one face"
        apart = np.abs(np.stack([one[i][0] - other[i][0] for i in both]))
        agree = np.stack([one[i][1] == other[i][1] for i in both])
        self._same.append(agree)
        worst = np.argsort(agree.mean(axis=0), kind="stable")[:3]
        told = ", ".join(f"{self._codes[au]} {100 * agree[:, au].mean():.1f}" for au in worst)
        return (
            f"{video.name}: {100 * agree.mean():.2f} % of {agree.size} decisions agree; scores differ by "
            f"{apart.mean():.3f} on average, {apart.max():.2f} at most; least: {told}"
        )

    def lines(self) -> Iterator[str]:
        """Of all videos, and of each AU."""
        if not self._same:
            yield "nothing to compare"
            return
        same = np.concatenate(self._same)
        yield f"all: {100 * same.mean():.2f} % of {same.size} decisions agree"
        yield ", ".join(f"{code} {100 * share:.1f}" for code, share in zip(self._codes, same.mean(axis=0), strict=True))
