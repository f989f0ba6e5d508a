"""Half precision, decided in the model: every graph and format that comes from it computes the same."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from ...model import MDHR


class InSingle(nn.Module):
    """A layer that computes in fp32 inside a half-precision model."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


def half_view(view: MDHR, cached: bool) -> MDHR:
    """A copy of an export view in fp16, with fp32 where fp16 loses more than it saves.

    In fp32 stay the similarity score (squares of a long vector overflow) and the region logits (their arg-max is a
    step). With `cached` so do the four projections: frames are projected first and subtracted later, and the
    difference of two rounded maps would hold little but their rounding. Differences taken before the projections,
    as a clip graph takes them, do not need that.
    """
    half: Any = copy.deepcopy(view).half()
    half.head.score = copy.deepcopy(view.head.score)
    if view.head.relations.heads is not None:
        half.head.relations.heads = _in_single(view.head.relations.heads)
    if cached and view.encoder.project is not None:
        half.encoder.project.convs = _in_single(view.encoder.project.convs)
    return half


def _in_single(layers: nn.ModuleList) -> nn.ModuleList:
    return nn.ModuleList(InSingle(copy.deepcopy(layer)) for layer in layers)
