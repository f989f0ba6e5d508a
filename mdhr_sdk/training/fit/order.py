"""Which clips go into which batch: a function of (seed, epoch, batch) alone, so that any run can be resumed anywhere.

A run is cut into blocks of consecutive batches, each inside one epoch; a checkpoint stands at the end of each. The
trainer sees a block as what it calls an epoch, so it only ever starts and ends between two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch.utils.data import Sampler

from ...errors import ConfigError

Key = tuple[int, int]  # epoch, index


class ClipSource(Protocol):
    """What is trained on: the item of (epoch, index) depends on the two and the source's seed alone.

    Loaders ask with both, so that no worker needs to know the epoch.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: Key) -> dict[str, Any]: ...


class Block(NamedTuple):
    """Batches first ... last - 1 of an epoch."""

    epoch: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """All batches of a run.

    Attributes:
        videos: items of the source.
        batch_size: clips per batch over all processes; the last batch of an epoch may be smaller.
        processes: they share every batch evenly; up to `processes` - 1 clips of the last batch are left out for it.
        block_batches: batches a block at most; None for whole epochs.
    """

    videos: int
    batch_size: int
    epochs: int
    seed: int
    processes: int = 1
    block_batches: int | None = None

    def __post_init__(self) -> None:
        if self.videos < self.processes:
            raise ConfigError(f"{self.processes} processes need as many videos; got {self.videos}; use fewer devices")

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(self.videos, self.batch_size)
        return full + (rest >= self.processes)

    @property
    def blocks(self) -> list[Block]:
        size = self.block_batches or self.batches
        starts = range(0, self.batches, size)
        return [Block(e, first, min(first + size, self.batches)) for e in range(self.epochs) for first in starts]

    def steps(self, accumulate: int) -> int:
        """Steps of the optimiser in the whole run."""
        return self.epochs * -(-self.batches // accumulate)

    def batch(self, epoch: int, batch: int) -> list[int]:
        """Items of one batch, over all processes."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.videos)
        items = order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()
        return items[: len(items) - len(items) % self.processes]


class BlockBatches(Sampler[list[Key]]):
    """One process's batches of the block that `set_epoch` names. It has no length: blocks differ in theirs."""

    def __init__(self, plan: Plan, rank: int) -> None:
        self.plan, self.rank = plan, rank
        self.block = 0

    @property
    def sampler(self) -> BlockBatches:
        """Where the trainer looks for `set_epoch`."""
        return self

    def set_epoch(self, block: int) -> None:
        self.block = block

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, first, last = self.plan.blocks[self.block]
        for batch in range(first, last):
            yield [(epoch, item) for item in self.plan.batch(epoch, batch)[self.rank :: self.plan.processes]]
