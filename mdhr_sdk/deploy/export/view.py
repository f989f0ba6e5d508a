"""The export view: the same numbers from fewer and simpler operators."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import InputError
from ...model import MDHR
from ...model.dynamics import AdaptiveFusion
from ...model.relations import TokenLinear


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
    """A copy of `model` for clips of exactly `frames` frames, with every BatchNorm folded into the layer before it.

    The scales' BatchNorms go into the projections, so the view's projected maps are scaled: its encoder and its head
    belong together.
    """
    view: Any = copy.deepcopy(model).eval()
    _fold_backbone(view.encoder.backbone, model.config.input_size_px)
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


def _fold_backbone(backbone: Any, size_px: int) -> None:
    """Fold each BatchNorm that reads what a plain convolution gives.

    Which those are is seen in a run, since timm's networks name and nest them in many ways. A convolution of another
    class (one that standardises its weights, say) keeps its norm, and the graph optimisers may fold it.
    """
    made: dict[Tensor, nn.Conv2d] = {}
    pairs: list[tuple[nn.Conv2d, _BatchNorm]] = []

    def note(conv: nn.Module, _: Any, output: Tensor) -> None:
        made[output] = cast(nn.Conv2d, conv)

    def match(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0] in made:
            pairs.append((made[inputs[0]], cast(_BatchNorm, norm)))

    hooks = [m.register_forward_hook(note) for m in backbone.modules() if type(m) is nn.Conv2d]
    hooks += [m.register_forward_pre_hook(match) for m in backbone.modules() if isinstance(m, _BatchNorm)]
    backbone(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    for conv, norm in pairs:
        if conv.bias is None:
            conv.bias = nn.Parameter(torch.zeros(conv.out_channels))
        _scale(conv, *_affine(norm))
        after = nn.Sequential(*(getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)))  # of timm's
        parent, _, name = next(key for key, module in backbone.named_modules() if module is norm).rpartition(".")
        setattr(backbone.get_submodule(parent), name, after)


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
