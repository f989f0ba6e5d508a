"""The loss of the paper (eq. 10-12), as sums and numbers of terms.

A mean over the frames of a whole batch is the sum of all parts over the number of all terms. Where the batch is
spread over devices and some labels are unknown, neither the mean of means nor its gradient would be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-8  # of a probability inside a logarithm
IGNORED = -1


class Terms(NamedTuple):
    """A sum with gradient, and how many terms it has (float, no gradient)."""

    total: Tensor
    number: Tensor

    @property
    def mean(self) -> Tensor:
        """0 where there is no term."""
        return self.total / self.number.clamp_min(1)


def asymmetric_loss(scores: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Terms:
    """Eq. 10: -w_n [y log p + p (1 - y) log(1 - p)], the factor p without gradient, logarithms clamped at 1e-8.

    Args:
        scores: (..., N) probabilities.
        labels: (..., N) in {0, 1, -1}; -1 has no part in the loss.
        weights: (N,), one per AU.
        smoothing: s in [0, 1); y becomes (1 - s) y + s / 2.
    """
    p = scores.float()
    known, y = labels != IGNORED, labels == 1
    present = p.clamp_min(SMALLEST).log()
    absent = p.detach() * (1 - p).clamp_min(SMALLEST).log()
    if smoothing:
        share = torch.where(y, 1 - smoothing / 2, smoothing / 2)
        loss = -weights * (share * present + (1 - share) * absent)
    else:
        loss = -weights * torch.where(y, present, absent)
    return Terms(loss.masked_fill(~known, 0).sum(), known.sum().to(p.dtype))


def region_loss(logits: Sequence[Tensor], classes: Tensor) -> tuple[Terms, ...]:
    """Eq. 11: cross-entropy of every region head, logits (..., 2**n) against classes (..., G), -1 ignored."""
    return tuple(
        Terms(
            F.cross_entropy(x.float().flatten(0, -2), y.flatten(), ignore_index=IGNORED, reduction="sum"),
            (y != IGNORED).sum().to(torch.float32),
        )
        for x, y in zip(logits, classes.unbind(dim=-1), strict=True)
    )
