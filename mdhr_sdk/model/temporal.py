"""Time and scores (supplement section 1, eq. 1-2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..modelfolder.config import ModelConfig

SHORTEST = 1e-12  # an AU vector without a positive component scores 0


class TemporalConvolution(nn.Module):
    """Each AU's features along time, channel by channel, kernel 5; then BatchNorm over the AUs (eq. 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.nodes = len(config.label_set.aus)
        channels = self.nodes * config.au_width
        reach = config.temporal_reach
        self.conv = nn.Conv1d(channels, channels, 2 * reach + 1, padding=reach, groups=channels)
        self.norm = nn.BatchNorm2d(self.nodes)

    def forward(self, nodes: Tensor) -> Tensor:
        """(B, T, N, W) -> (B, T, N, W); frames outside the clip count as zero."""
        x = self.conv(nodes.flatten(2).transpose(1, 2))  # (B, N * W, T)
        return self.norm(x.unflatten(1, (self.nodes, -1))).permute(0, 3, 1, 2)

    def middle(self, nodes: Tensor) -> Tensor:
        """(B, 5, N, W) -> (B, N, W): the same for the frame in the middle alone."""
        taps = self.conv.weight.reshape(self.nodes, -1, nodes.shape[1]).permute(2, 0, 1)
        assert self.conv.bias is not None
        x = (nodes * taps).sum(dim=1) + self.conv.bias.reshape(self.nodes, -1)
        return self.norm(x[..., None])[..., 0]


class SimilarityScore(nn.Module):
    """p = cosine(ReLU(v), ReLU(s)), with a trained vector s an AU (eq. 2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.reference = nn.Parameter(torch.empty(len(config.label_set.aus), config.au_width))
        nn.init.xavier_uniform_(self.reference)

    def forward(self, nodes: Tensor) -> Tensor:
        """(B, T, N, W) -> (B, T, N), in [0, 1]."""
        # The squares of a long vector overflow in half precision, and SHORTEST vanishes.
        exact = torch.promote_types(nodes.dtype, torch.float32)
        v, reference = F.relu(nodes.to(exact)), F.relu(self.reference.to(exact))
        length = torch.linalg.vector_norm(v, dim=-1).clamp_min(SHORTEST)
        return (v * F.normalize(reference, dim=-1)).sum(dim=-1) / length
