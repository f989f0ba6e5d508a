"""What follows from labels: the class of every region group, and the weight of every AU (eq. 10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...aus import RegionLayout
from ...errors import DataError, InputError


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

    Raises:
        InputError: another number of columns, or values other than -1, 0 and 1.
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

    Raises:
        DataError: an AU has no positive frame, so that its weight would be infinite.
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
