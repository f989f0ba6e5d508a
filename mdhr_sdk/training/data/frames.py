"""Rows of a list as arrays: which frames there are, what they show, and which follow on one another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .rules import au_weights, region_classes
from .spec import DatasetSpec


@dataclass(frozen=True, eq=False)
class FrameList:
    """The frames of one half of a fold, row by row.

    Attributes:
        name: of the file that lists the paths, for messages.
        paths: of the crops below the image folder.
        labels: (n, N) int8, 1 present, 0 absent, -1 unknown.
        regions: (n, G) int64, class of each region group, -1 where one of its AUs is unknown.
        subjects: one a row.
        videos: (n,) int64, number of the row's video: a subject's task, or the subject where it has one video.
        numbers: (n,) int64, the frame's number in its video.
        weights: (N,) float64 of the training half, else None.
    """

    name: str
    paths: tuple[str, ...]
    labels: NDArray[np.int8]
    regions: NDArray[np.int64]
    subjects: tuple[str, ...]
    videos: NDArray[np.int64]
    numbers: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def runs(self) -> list[slice]:
        """Rows of one video whose frame numbers rise by one; every row stands in exactly one run."""
        breaks = (np.diff(self.videos) != 0) | (np.diff(self.numbers) != 1)
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(self)]
        return [slice(a, b) for a, b in itertools.pairwise(edges) if a < b]


@dataclass(frozen=True, eq=False)
class Fold:
    """The two halves of a fold; no subject stands in both."""

    train: FrameList
    test: FrameList


def frame_list(
    dataset: DatasetSpec, name: str, paths: Sequence[str], labels: NDArray[np.int8], train: bool
) -> FrameList:
    """Rows of paths and labels, with what follows from them.

    Raises:
        DataError: a path of another form or that comes twice, or a training half with an AU that never occurs.
    """
    subjects, numbers, videos = [], [], []
    known: dict[tuple[str, str], int] = {}
    seen: dict[str, int] = {}
    for line, path in enumerate(paths, 1):
        frame = dataset.parse(path)
        if frame is None:
            raise DataError(f"{name}, line {line}: expected a path like {dataset.crop}; got '{path:.80}'; correct it")
        if seen.setdefault(path, line) != line:
            raise DataError(f"{name}, line {line}: {path} stands in line {seen[path]} already; remove one of the two")
        subjects.append(frame.subject)
        numbers.append(frame.frame)
        videos.append(known.setdefault((frame.subject, frame.task), len(known)))
    regions = region_classes(labels, dataset.label_set.layout, dataset.label_set.aus)
    try:
        weights = au_weights(labels, dataset.label_set.codes) if train else None
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    rows, places = np.array(videos, np.int64), np.array(numbers, np.int64)
    return FrameList(name, tuple(paths), labels, regions, tuple(subjects), rows, places, weights)
