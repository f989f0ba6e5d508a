"""The export view: the same numbers from fewer and simpler operators."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..model import MDHR
from ..model.dynamics import AdaptiveFusion
from ..model.relations import TokenLinear


class MatrixWindowMean(nn.Module):
    """Eq. 3 for a fixed T as one product with a constant (T, T - 1) matrix."""

    def __init__(self, frames: int, k: int) -> None:
        super().__init__()
        self.k = k
        frame, step = torch.arange(frames)[:, None], torch.arange(frames - 1)[None]
        inside = (step >= frame - k) & (step < frame + k)
        self.matrix: Tensor
        self.register_buffer("matrix", inside.float() / (2 * k))

    def forward(self, differences: Tensor, k: int | None = None) -> Tensor:
        if k not in (None, self.k):
            raise InputError(f"an export view is made for k={self.k}; got k={k}; make another view")
        return (self.matrix @ differences.flatten(2)).unflatten(2, differences.shape[2:])


@torch.no_grad()
def export_view(model: MDHR, frames: int) -> MDHR:
    """A copy of `model` for clips of exactly `frames` frames, with every BatchNorm outside the backbone folded.

    The scales' BatchNorms go into the projections, so the view's projected maps are scaled: its encoder and its head
    belong together. The backbone's own norms are left to the graph optimisers, which know them all.
    """
    view: Any = copy.deepcopy(model).eval()
    for module in view.modules():
        if isinstance(module, TokenLinear):
            folded: Any = _fold(module.linear, module.norm)
            module.norm = folded
        elif isinstance(module, AdaptiveFusion):
            module.norms = nn.ModuleList(_fold(c, n) for c, n in zip(module.squeeze, module.norms, strict=True))
    if view.head.temporal is not None:
        conv, norm = view.head.temporal.conv, view.head.temporal.norm
        scale, shift = (x.repeat_interleave(conv.out_channels // norm.num_features) for x in _affine(norm))
        _scale(conv, scale, shift)
        view.head.temporal.norm = nn.Identity()
    if view.head.dynamics is not None and view.encoder.project is not None:
        _fold_dynamics(view.head.dynamics, view.encoder.project.convs)
        view.head.dynamics.window_mean = MatrixWindowMean(frames, model.config.k)
    return view


def _fold_dynamics(dynamics: Any, projections: nn.ModuleList) -> None:
    for index, conv in enumerate(projections):
        assert isinstance(conv, nn.Conv2d)
        scale, shift = _affine(dynamics.norms[index])
        conv.weight.mul_(scale[:, None, None, None])
        dynamics.biases[index].mul_(scale).add_(shift)
    dynamics.norms = nn.ModuleList(nn.Identity() for _ in dynamics.norms)
    dynamics.out_norm = _fold(dynamics.out, dynamics.out_norm)


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """A BatchNorm in evaluation mode is x * scale + shift."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _scale(layer: Any, scale: Tensor, shift: Tensor) -> None:
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.mul_(scale).add_(shift)


def _fold(layer: Any, norm: Any) -> nn.Identity:
    _scale(layer, *_affine(norm))
    return nn.Identity()
