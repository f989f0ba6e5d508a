"""MFD, multi-scale facial dynamics (paper section 3.1, eq. 1-6)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..modelfolder.config import ModelConfig
from ..ops.torch_op import register, usable
from .backbones import STRIDES


def difference(x: Tensor) -> Tensor:
    """Eq. 1: what changes from frame to frame. (B, T, ...) -> (B, T - 1, ...)."""
    return x[:, 1:] - x[:, :-1]


def window_mean(differences: Tensor, k: int) -> Tensor:
    """Eq. 3: mean of the 2k differences around each frame. (B, T - 1, ...) -> (B, T, ...).

    Frame t averages differences t - k ... t + k - 1, where difference j is x[j + 1] - x[j]. Those outside the
    clip count as zero and the divisor stays 2k, as average pooling with counted padding does.
    """
    steps = differences.shape[1]
    rows = F.pad(differences.flatten(2), (0, 0, k, k))
    total = rows[:, : steps + 1].clone()
    for offset in range(1, 2 * k):
        total += rows[:, offset : offset + steps + 1]
    return (total / (2 * k)).unflatten(2, differences.shape[2:])


class WindowMean(nn.Module):
    """Eq. 3 as a layer, so that exporters can put a form of their own in its place."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, differences: Tensor, k: int | None = None) -> Tensor:
        return window_mean(differences, k or self.k)


class ScaleProjections(nn.Module):
    """Conv2D_l of eq. 2 without its bias: every chosen scale becomes a (P, S / 32, S / 32) map.

    The bias waits in `FacialDynamics`. Without it the layer is linear, so that it may be applied to frames
    (once each, and kept) or to differences, with the same result.
    """

    def __init__(self, config: ModelConfig, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.scales = config.scales
        self.convs = nn.ModuleList(
            nn.Conv2d(channels[s - 1], width, size := STRIDES[-1] // STRIDES[s - 1], stride=size, bias=False)
            for s in config.scales
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Four scale maps (M, C_l, H_l, W_l) -> one (M, P, S / 32, S / 32) map a chosen scale."""
        return tuple(conv(maps[s - 1]) for s, conv in zip(self.scales, self.convs, strict=True))


class AdaptiveFusion(nn.Module):
    """Eq. 4-5 as released: each scale is squeezed, and all of them together say how much each counts where."""

    def __init__(self, scales: int, width: int, weight_width: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(nn.Conv2d(width, weight_width, 1) for _ in range(scales))
        self.norms = nn.ModuleList(nn.BatchNorm2d(weight_width) for _ in range(scales))
        self.weigh = nn.Conv2d(scales * weight_width, scales, 1)
        self.width = width

    def weights(self, means: Sequence[Tensor]) -> Tensor:
        """L x (M, P, h, w) -> (M, L, h, w), summing to 1 over the L scales at every position."""
        layers = zip(self.squeeze, self.norms, means, strict=True)
        return self.weigh(torch.cat([F.relu(norm(conv(d))) for conv, norm, d in layers], dim=1)).softmax(dim=1)

    def forward(self, means: Sequence[Tensor]) -> Tensor:
        return _weighted_sum(self.weights(means), means)


class PaperAdaptiveFusion(nn.Module):
    """Eq. 4-5 as printed: all scales concatenated, one 1x1 convolution a scale, softmax."""

    def __init__(self, scales: int, width: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(scales * width, scales, 1)
        self.width = width

    def weights(self, means: Sequence[Tensor]) -> Tensor:
        """L x (M, P, h, w) -> (M, L, h, w), summing to 1 over the L scales at every position."""
        return self.weigh(torch.cat(list(means), dim=1)).softmax(dim=1)

    def forward(self, means: Sequence[Tensor]) -> Tensor:
        return _weighted_sum(self.weights(means), means)


class SumFusion(nn.Module):
    """Table 4: the scales added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, means: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(means)).sum(dim=0)


class ConcatFusion(nn.Module):
    """Table 4: the scales side by side."""

    def __init__(self, scales: int, width: int) -> None:
        super().__init__()
        self.width = scales * width

    def forward(self, means: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(means), dim=1)


Fusion = AdaptiveFusion | PaperAdaptiveFusion | SumFusion | ConcatFusion


def build_fusion(config: ModelConfig, width: int) -> Fusion:
    """The fusion that `config` names; a single scale needs no weights, whatever the name."""
    scales = len(config.scales)
    if scales == 1 or config.fusion == "sum":
        return SumFusion(width)
    if config.fusion == "concat":
        return ConcatFusion(scales, width)
    if config.fusion == "adaptive_paper":
        return PaperAdaptiveFusion(scales, width)
    return AdaptiveFusion(scales, width, config.weight_width)


class FacialDynamics(nn.Module):
    """From projected differences to the dynamic part of G (eq. 2-5)."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        scales = len(config.scales)
        self.window_mean = WindowMean(config.k)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(scales))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(scales))
        self.fusion = build_fusion(config, width)
        self.out = nn.Conv2d(self.fusion.width, config.au_width, 1)
        self.out_norm = nn.BatchNorm2d(config.au_width)

    def means(self, differences: Sequence[Tensor], k: int | None = None) -> tuple[Tensor, ...]:
        """Projected differences L x (B, T - 1, P, h, w) -> their window means L x (B * T, P, h, w)."""
        means = []
        for d, bias, norm in zip(differences, self.biases, self.norms, strict=True):
            active = F.relu(norm(d.flatten(0, 1) + bias[:, None, None])).unflatten(0, d.shape[:2])
            means.append(self.window_mean(active, k).flatten(0, 1))
        return tuple(means)

    def forward(self, differences: Sequence[Tensor], k: int | None = None) -> Tensor:
        """Projected differences L x (B, T - 1, P, h, w) -> dynamic tokens (B, T, h * w, au_width)."""
        batch, steps = differences[0].shape[:2]
        return self.tokens(self.fusion(self.means(differences, k))).unflatten(0, (batch, steps + 1))

    def from_maps(self, maps: Sequence[Tensor], k: int | None = None) -> Tensor:
        """Projected maps of frames L x (B, T, P, h, w) -> dynamic tokens (B, T, h * w, au_width).

        For inference the compiled kernel does all up to the weighted sum, where it was built (see `mdhr_sdk.ops`).
        """
        if not self._kernel_serves(maps):
            return self(tuple(difference(m) for m in maps), k)
        assert isinstance(self.fusion, AdaptiveFusion)
        scale, shift = zip(*(_affine(n, b) for n, b in zip(self.norms, self.biases, strict=True)), strict=True)
        layers = [_affine_convolution(c, n) for c, n in zip(self.fusion.squeeze, self.fusion.norms, strict=True)]
        squeeze, squeeze_bias = (torch.stack(x) for x in zip(*layers, strict=True))
        weigh = self.fusion.weigh
        assert weigh.bias is not None
        parameters = (
            torch.stack(scale),
            torch.stack(shift),
            squeeze,
            squeeze_bias,
            weigh.weight.flatten(1),
            weigh.bias,
        )
        motion = _FUSED(list(maps), *(p.float() for p in parameters), self.window_mean.k if k is None else k)
        return self.tokens(motion.flatten(0, 1)).unflatten(0, maps[0].shape[:2])

    def tokens(self, motion: Tensor) -> Tensor:
        """Fused scales of single frames (M, C, h, w) -> dynamic tokens (M, h * w, au_width)."""
        return F.relu(self.out_norm(self.out(motion))).flatten(2).transpose(1, 2)

    def _kernel_serves(self, maps: Sequence[Tensor]) -> bool:
        """It knows the released form only, has no gradient, and has no place in exported graphs."""
        released = isinstance(self.fusion, AdaptiveFusion) and type(self.window_mean) is WindowMean
        exporting = torch.compiler.is_exporting() or torch.jit.is_tracing() or torch.jit.is_scripting()
        inference = not (self.training or torch.is_grad_enabled() or exporting)
        place = maps[0].device
        return released and inference and maps[0].dtype in _DTYPES and _served(place.type, place.index)


def _affine(norm: nn.Module, bias: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """BatchNorm of x + bias in evaluation mode as x * scale + shift."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, (bias - norm.running_mean) * scale + norm.bias


def _affine_convolution(conv: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A 1x1 convolution and its BatchNorm as one: weight (O, C) and bias (O,)."""
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    scale, shift = _affine(norm, conv.bias)
    return conv.weight.flatten(1) * scale[:, None], shift


_FUSED = register()
_served = torch.compiler.assume_constant_result(functools.cache(usable))  # not asked before there is such a tensor
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def _weighted_sum(weights: Tensor, means: Sequence[Tensor]) -> Tensor:
    """Eq. 5: (M, L, h, w) and L x (M, P, h, w) -> (M, P, h, w)."""
    total = weights[:, 0, None] * means[0]
    for index in range(1, len(means)):
        total = total + weights[:, index, None] * means[index]
    return total
