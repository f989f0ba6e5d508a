"""HSR, hierarchical spatio-temporal AU relations (paper section 3.2, eq. 7-9)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..aus import REGIONS, ROWS
from ..modelfolder.config import ModelConfig

MASKED = -1e4  # finite, so that half precision and exported graphs keep it; exp() of it is 0


class TokenLinear(nn.Module):
    """Linear, BatchNorm and ReLU on tokens: (M, P, C) -> (M, P, C')."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.relu(self.norm(self.linear(tokens.flatten(0, 1)))).unflatten(0, tokens.shape[:2])


class LocalRelations(nn.Module):
    """AU features from their face region, and what the region heads make of the region (eq. 7-8)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        groups, width = config.layout.groups, config.au_width
        aus = config.label_set.aus
        self.rows = config.input_size_px // 32
        self.regions = tuple(group.region for group in groups)
        self.nodes = len(aus)

        uses_regions = config.extractors or config.auxiliary
        self.group_linears: nn.ModuleList | None = None
        if config.layout.group_linear and uses_regions:
            self.group_linears = nn.ModuleList(TokenLinear(width, width) for _ in groups)
        # One layer a group holds the group's extractors side by side.
        self.extractors: nn.ModuleList | None = None
        if config.extractors:
            self.extractors = nn.ModuleList(TokenLinear(width, len(group.aus) * width) for group in groups)
        self.heads: nn.ModuleList | None = None
        if config.auxiliary:
            self.heads = nn.ModuleList(nn.Linear(width, 2 ** len(group.aus)) for group in groups)

        grouped = [au for group in groups for au in group.aus]
        self.order: Tensor
        self.register_buffer("order", torch.tensor([grouped.index(au) for au in aus]), persistent=False)
        for index, group in enumerate(groups):
            table = torch.tensor(group.combinations, dtype=torch.float32)
            self.register_buffer(f"combinations_{index}", table, persistent=False)

    def regional(self, tokens: Tensor) -> list[Tensor]:
        """Eq. 7: face tokens (M, P, W) -> each group's region tokens, (M, P_region, W)."""
        face = tokens.unflatten(1, (self.rows, -1))
        slices = []
        for region in self.regions:
            first, last = REGIONS[region]
            # outwards where the rows are not sevenths, so that no region of a small map is empty
            slices.append(face[:, first * self.rows // ROWS : -(-last * self.rows // ROWS)].flatten(1, 2))
        if self.group_linears is None:
            return slices
        return [linear(x) for linear, x in zip(self.group_linears, slices, strict=True)]

    def forward(self, tokens: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Face tokens (M, P, W) -> AU features (M, N, W) and region logits (M, 2**n), none without heads."""
        regions = self.regional(tokens) if self.extractors is not None or self.heads is not None else []
        logits: tuple[Tensor, ...] = ()
        if self.heads is not None:
            logits = tuple(head(x.mean(dim=1)) for head, x in zip(self.heads, regions, strict=True))
        if self.extractors is None:
            return tokens.mean(dim=1, keepdim=True).expand(-1, self.nodes, -1), logits
        width = tokens.shape[-1]
        features = [f(x).mean(dim=1) for f, x in zip(self.extractors, regions, strict=True)]
        return torch.cat(features, dim=1).unflatten(1, (self.nodes, width)).index_select(1, self.order), logits

    def active(self, logits: Sequence[Tensor]) -> Tensor:
        """Occurrences (M, N), 0 or 1, of the most likely combination of every group; no gradient."""
        tables = [getattr(self, f"combinations_{index}") for index in range(len(logits))]
        bits = [table.index_select(0, x.argmax(dim=1)) for table, x in zip(tables, logits, strict=True)]
        return torch.cat(bits, dim=1).index_select(1, self.order)


class CrossRegionalGraph(nn.Module):
    """One graph attention layer over the AUs of a frame (eq. 9)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.au_width
        self.linear = nn.Linear(width, width, bias=False)
        self.source = nn.Parameter(torch.empty(width))
        self.target = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.linear.weight)
        for vector in (self.source, self.target):
            nn.init.xavier_uniform_(vector.data[None])

        self.only_active = config.edges == "cross_active"
        group = torch.tensor([_group_of(config, au) for au in config.label_set.aus])
        same = group[:, None] == group[None]
        allowed = {"full": torch.ones_like(same), "local": same}.get(config.edges, ~same)
        self.allowed: Tensor
        self.self_loops: Tensor
        self.register_buffer("allowed", allowed.float(), persistent=False)  # [to n, from m]
        self.register_buffer("self_loops", torch.eye(len(group)), persistent=False)

    def attention(self, transformed: Tensor, active: Tensor | None) -> Tensor:
        """Wv (M, N, W) and occurrences (M, N) -> alpha (M, N, N): how much AU n listens to AU m, [.., n, m]."""
        source = (transformed * self.source).sum(dim=-1)
        target = (transformed * self.target).sum(dim=-1)
        scores = F.leaky_relu(target[:, :, None] + source[:, None, :], 0.2)
        edges = self.allowed[None]
        if self.only_active:
            assert active is not None, "edges='cross_active' needs the occurrences that the region heads predict"
            edges = edges * active[:, None, :]
        return scores.masked_fill(edges + self.self_loops < 0.5, MASKED).softmax(dim=-1)

    def forward(self, nodes: Tensor, active: Tensor | None = None) -> Tensor:
        """AU features (M, N, W), occurrences (M, N) for edges='cross_active' -> related features (M, N, W)."""
        transformed = self.linear(nodes)
        return F.elu(self.attention(transformed, active) @ transformed + nodes + self.bias)


def _group_of(config: ModelConfig, au: int) -> int:
    return next(index for index, group in enumerate(config.layout.groups) if au in group.aus)
