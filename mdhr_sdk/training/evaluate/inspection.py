"""What happens inside a model: the weight of each scale over the face, and attention between AUs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import ConfigError
from ...model import MDHR
from ...model.dynamics import AdaptiveFusion, PaperAdaptiveFusion


@dataclass(frozen=True)
class Inspection:
    """Arrays of one clip of T frames, float32.

    Attributes:
        scores: (T, N).
        weights: (T, L, h, w) of eq. 4, summing to one over the L scales; None without adaptive fusion.
        attention: (T, N, N), how much AU n listens to AU m at [t, n, m]; None without the graph.
    """

    scores: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    attention: NDArray[np.float32] | None


@torch.no_grad()
def inspect(model: MDHR, clip: NDArray[np.float32]) -> Inspection:
    """Run a model in evaluation mode on a clip (1, T, 3, S, S) and keep what the figures show."""
    dynamics, graph = model.head.dynamics, model.head.graph
    fusion = dynamics.fusion if dynamics is not None else None
    if not isinstance(fusion, AdaptiveFusion | PaperAdaptiveFusion):
        fusion = None
    if fusion is None and graph is None:
        raise ConfigError("this model has neither adaptive weights (fusion) nor a graph: there is nothing to draw")
    with _kept(fusion, "weights") as weights, _kept(graph, "attention") as attention:
        scores = model(torch.from_numpy(clip)).scores
    return Inspection(
        scores[0].numpy(), weights[0].numpy() if weights else None, attention[0].numpy() if attention else None
    )


@contextlib.contextmanager
def _kept(owner: nn.Module | None, method: str) -> Iterator[list[Tensor]]:
    """What `owner.method` returns inside the block."""
    found: list[Tensor] = []
    if owner is None:
        yield found
        return
    original = getattr(owner, method)

    def keeping(*inputs: Any) -> Tensor:
        result: Tensor = original(*inputs)
        found.append(result)
        return result

    owner.__dict__[method] = keeping
    try:
        yield found
    finally:
        del owner.__dict__[method]
