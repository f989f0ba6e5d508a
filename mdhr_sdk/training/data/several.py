"""Several data sets as one: the union of their AUs, unknown where a set lacks one.

Paths and subjects are given the name of their set, as in 'disfa/SN001/SN001_0.png' and 'disfa/SN001', since two sets
may call different people alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...aus import LabelSet, RegionGroup, RegionLayout
from ...errors import ConfigError
from ..fit.settings import DataSettings
from .datasets import dataset
from .frames import FrameList, region_classes
from .spec import DatasetSpec


class Place(NamedTuple):
    """A data set and where its lists and images are."""

    spec: DatasetSpec
    lists: Path
    images: Path


def places(data: DataSettings) -> list[Place]:
    """The data sets of a run, the first one first.

    Raises:
        ConfigError: two of them have the same name.
    """
    found = [Place(dataset(one.dataset), Path(one.lists), Path(one.images)) for one in data.each]
    names = [place.spec.name for place in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"data.more: two data sets are called '{twice[0]}'; give one of them another name")
    return found


def label_set_of(data: DataSettings) -> LabelSet:
    """The AUs of a run: those of its data set, or of all of them in rising order.

    A region head learns from frames in which all AUs of its group are known. So the groups of the first set stay as
    they are, and each further set adds its own with the AUs that are new: every group is known in one set at least.
    """
    sets = [place.spec.label_set for place in places(data)]
    if len(sets) == 1:
        return sets[0]
    groups: list[RegionGroup] = list(sets[0].layout.groups)
    for one in sets[1:]:
        known = {au for group in groups for au in group.aus}
        rest = ((group, tuple(au for au in group.aus if au not in known)) for group in one.layout.groups)
        groups += [RegionGroup(f"{one.name}-{group.name}", group.region, aus) for group, aus in rest if aus]
    aus = tuple(sorted({au for one in sets for au in one.aus}))
    name = "+".join(one.name for one in sets)
    return LabelSet(name, aus, RegionLayout(tuple(groups), sets[0].layout.group_linear))


def joined(halves: Sequence[tuple[DatasetSpec, FrameList]], label_set: LabelSet) -> FrameList:
    """The frames of several sets, one after another."""
    labels, subjects, paths, videos, first = [], [], [], [], 0
    for spec, half in halves:
        own = np.full((len(half), len(label_set.aus)), -1, np.int8)
        own[:, [label_set.aus.index(au) for au in spec.label_set.aus]] = half.labels
        labels.append(own)
        subjects += [f"{spec.name}/{subject}" for subject in half.subjects]
        paths += [f"{spec.name}/{path}" for path in half.paths]
        videos.append(half.videos + first)
        first += int(half.videos.max(initial=-1)) + 1
    all_labels = np.concatenate(labels)
    return FrameList(
        " and ".join(half.name for _, half in halves),
        tuple(paths),
        all_labels,
        region_classes(all_labels, label_set.layout, label_set.aus),
        tuple(subjects),
        np.concatenate(videos),
        np.concatenate([half.numbers for _, half in halves]),
    )
