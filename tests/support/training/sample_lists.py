"""Small lists in the layout of BP4D and DISFA."""

from __future__ import annotations

import numpy as np

from mdhr_sdk.training.data.datasets import DatasetSpec, FrameName
from mdhr_sdk.training.data.lists import Fold, FrameList, frame_list


def random_labels(rng: np.random.Generator, rows: int, aus: int) -> np.ndarray:
    """(rows, aus) int8 in which every AU occurs."""
    labels = (rng.random((rows, aus)) < 0.4).astype(np.int8)
    labels[:aus] |= np.eye(aus, dtype=np.int8)
    return labels


def make_list(dataset: DatasetSpec, videos: list[tuple[str, str, range]], seed: int = 0) -> FrameList:
    """A list of (subject, task, frame numbers), with random labels."""
    paths = [dataset.crop_path(FrameName(s, t, number)) for s, t, numbers in videos for number in numbers]
    labels = random_labels(np.random.default_rng(seed), len(paths), len(dataset.label_set.aus))
    return frame_list(dataset, "some.txt", paths, labels, train=True)


def small_fold(dataset: DatasetSpec, fold: int = 1) -> Fold:
    """Every subject of the data set with one short video, two of them with two where there are tasks."""
    tasked = dataset.name == "bp4d"

    def videos(subjects: tuple[str, ...]) -> list[tuple[str, str, range]]:
        found = []
        for rank, subject in enumerate(subjects):
            for task in ("T2", "T10")[: 2 if tasked and rank < 2 else 1] if tasked else ("",):
                found.append((subject, task, range(7 + rank if tasked else 0, 7 + rank + 12 if tasked else 10 + rank)))
        return found

    train = make_list(dataset, videos(dataset.train_subjects(fold, dataset.subjects)), seed=1)
    return Fold(train, make_list(dataset, videos(dataset.test_subjects(fold)), seed=2))
