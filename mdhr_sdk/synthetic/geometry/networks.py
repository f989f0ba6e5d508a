"""Small PyTorch networks that judge AUs: made, trained, and read out as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

HEAVIEST = 40.0  # of a frame that shows a rare AU
Floats = NDArray[np.float64]
Reader = Callable[[NDArray[np.intp]], NDArray[np.float32]]  # rows -> what the network reads of them


class Training(Protocol):
    """How long and how fast a network is trained; `rarity` is the power of the weight of frames that show a rare AU."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def rarity(self) -> float: ...


def make(widths: Sequence[int], seed: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers between these widths, with ReLU and dropout between them; random weights of this seed."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for width, wider in pairwise(widths):
        layers += [nn.Linear(width, wider), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def train(
    network: nn.Sequential,
    labels: NDArray[np.int8],
    copies: int,
    readers: Callable[[], Iterable[Reader]],
    training: Training,
    rng: np.random.Generator,
) -> None:
    """Train a network, and leave it in evaluation mode.

    Args:
        labels: (M, K) in {0, 1, -1}; what is unknown, -1, is not learnt from.
        copies: how many readers an epoch has.
        readers: gives those of the next epoch.
    """
    truth, known, heavier = _targets(labels, training.rarity)
    batch = min(training.batch, len(truth))
    steps = training.epochs * copies * (len(truth) // batch)
    optimiser: Any = torch.optim.AdamW(network.parameters(), weight_decay=training.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.rate, max(steps, 2))
    for _ in range(training.epochs):
        for read in readers():
            order = rng.permutation(len(truth))
            for start in range(0, len(truth) - batch + 1, batch):
                rows = order[start : start + batch]
                each = functional.binary_cross_entropy_with_logits(
                    network(torch.from_numpy(read(rows))), truth[rows], pos_weight=heavier, reduction="none"
                )
                optimiser.zero_grad()
                (each * known[rows]).mean().backward()
                optimiser.step()
                schedule.step()
    network.eval()


def arrays(network: nn.Sequential) -> list[tuple[Floats, Floats]]:
    """Weights and biases of each linear layer."""
    return [
        (layer.weight.detach().numpy().astype(np.float64), layer.bias.detach().numpy().astype(np.float64))
        for layer in network
        if isinstance(layer, nn.Linear)
    ]


def _targets(labels: NDArray[np.int8], rarity: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Truth and whether it is known, (M, K), and weights (K,) of what is there."""
    truth, known = (torch.from_numpy(one.astype(np.float32)) for one in (labels == 1, labels >= 0))
    share = ((truth * known).sum(0) / known.sum(0)).clamp(1e-3, 1 - 1e-3)
    return truth, known, ((1 - share) / share).clamp(1, HEAVIEST) ** rarity
