"""Rows of a list as arrays, and what follows from their labels: region classes and weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...aus import RegionLayout
from ...errors import DataError, InputError
from .spec import DatasetSpec


def region_classes(
    labels: NDArray[np.integer], layout: RegionLayout, aus: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """The combination of its AUs that each region group shows; the first AU of a group is the most significant bit.

    Args:
        labels: (..., N), 1 present, 0 absent, -1 unknown.
        layout: the groups.
        aus: the columns of `labels`; the layout's AUs in rising order if None, as in BP4D and DISFA.

    Returns:
        (..., G) int64, -1 where an AU of the group is unknown.
    """
    columns = sorted(au for group in layout.groups for au in group.aus) if aus is None else list(aus)
    if labels.ndim < 1 or labels.shape[-1] != len(columns) or not np.isin(labels, (-1, 0, 1)).all():
        raise InputError(f"expected labels (..., {len(columns)}) of -1, 0 and 1; got {labels.dtype} {labels.shape}")
    classes = np.empty((*labels.shape[:-1], len(layout.groups)), np.int64)
    for index, group in enumerate(layout.groups):
        own = labels[..., [columns.index(au) for au in group.aus]].astype(np.int64)
        bits = 1 << np.arange(len(group.aus))[::-1]
        classes[..., index] = np.where((own < 0).any(axis=-1), -1, own @ bits)
    return classes


def au_weights(labels: NDArray[np.integer], codes: Sequence[str] | None = None) -> NDArray[np.float64]:
    """w_n = (1 / r_n) / sum(1 / r) * N, with r_n the share of positives among the known labels of AU n.

    Args:
        labels: (n, N) of training frames; -1 does not count.
        codes: names of the AUs for the error.
    """
    positive, known = (labels == 1).sum(axis=0), (labels >= 0).sum(axis=0)
    if not positive.all():
        missing = [str(codes[i] if codes else f"column {i + 1}") for i in np.flatnonzero(positive == 0)]
        raise DataError(
            f"no training frame shows {', '.join(missing)}, so its weight would be infinite; add subjects that show "
            "it, or leave the AU out of the data set"
        )
    inverse = known / positive
    return inverse / inverse.sum() * len(inverse)


@dataclass(frozen=True, eq=False)
class FrameList:
    """The frames of one half of a fold, row by row.

    Attributes:
        name: of the file that lists the paths, for messages.
        paths: of the crops below the image folder.
        labels: (n, N) int8, 1 present, 0 absent, -1 unknown.
        regions: (n, G) int64, class of each region group, -1 where one of its AUs is unknown.
        subjects: one per row.
        videos: (n,) int64, number of the row's video: a subject's task, or the subject where it has one video.
        numbers: (n,) int64, the frame's number in its video.
    """

    name: str
    paths: tuple[str, ...]
    labels: NDArray[np.int8]
    regions: NDArray[np.int64]
    subjects: tuple[str, ...]
    videos: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def weights(self) -> NDArray[np.float64]:
        """(N,) w_n of eq. 10, from these labels."""
        return au_weights(self.labels)

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
    """Rows of paths and labels, with what follows from them."""
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
    if train:
        try:
            au_weights(labels, dataset.label_set.codes)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    rows, places = np.array(videos, np.int64), np.array(numbers, np.int64)
    return FrameList(name, tuple(paths), labels, regions, tuple(subjects), rows, places)
