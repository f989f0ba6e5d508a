"""The model cut into the graphs that sessions run: tensors in, a flat tuple of tensors out.

Their names, shapes and meaning are those of `mdhr_sdk.runtime.session.graph_specs`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..modelfolder.config import Preprocessing
from .dynamics import difference
from .mdhr import MDHR


class Normalise(nn.Module):
    """uint8 BGR crops (..., S, S, 3) -> normalised RGB (..., 3, S, S), as `mdhr_sdk.vision.prepare`."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.rgb: Tensor
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("rgb", torch.tensor([2, 1, 0]))
        self.register_buffer("scale", (1 / (255 * std)).reshape(3, 1, 1))
        self.register_buffer("shift", (-mean / std).reshape(3, 1, 1))

    def forward(self, crops: Tensor) -> Tensor:
        # Cast first: TensorRT takes uint8 into a cast and into nothing else.
        channels_first = crops.float().movedim(-1, -3).index_select(crops.ndim - 3, self.rgb)
        return channels_first * self.scale + self.shift


class ClipGraph(nn.Module):
    """Frames of whole clips -> scores and region logits; differences before convolutions."""

    def __init__(self, model: MDHR, normalise: nn.Module, inner: torch.dtype) -> None:
        super().__init__()
        self.model, self.normalise, self.inner = model, normalise, inner

    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        output = self.model(self.normalise(clip).to(self.inner))
        return (output.scores, *output.region_logits)


class EncoderGraph(nn.Module):
    """Frames -> what each contributes."""

    def __init__(self, model: MDHR, normalise: nn.Module, inner: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.normalise, self.inner = model.encoder, normalise, inner

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        features = self.encoder(self.normalise(frames).to(self.inner))
        return tuple(x.float() for x in (features.static, *features.maps))


class _OfHead(nn.Module):
    def __init__(self, model: MDHR, inner: torch.dtype) -> None:
        super().__init__()
        self.head = model.head
        self.inner = inner


class HeadGraph(_OfHead):
    """Features of T frames -> scores and region logits."""

    def forward(self, static: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        differences = [difference(m).to(self.inner) for m in maps]  # of large values that are nearly the same
        output = self.head.from_differences(static.to(self.inner), differences)
        return (output.scores, *output.region_logits)


class RelationsGraph(_OfHead):
    """Static tokens of single frames and their fused motion (eq. 5) -> AU features and region logits."""

    def forward(self, static: Tensor, *motion: Tensor) -> tuple[Tensor, ...]:
        tokens = static.to(self.inner)
        if self.head.dynamics is not None:
            tokens = tokens + self.head.dynamics.tokens(motion[0].to(self.inner))
        nodes, logits = self.head.nodes(tokens)
        return (nodes.float(), *logits)


class TemporalGraph(_OfHead):
    """AU features of a frame and of those around it -> the scores of the frame in the middle."""

    def forward(self, nodes: Tensor) -> tuple[Tensor, ...]:
        nodes, temporal = nodes.to(self.inner), self.head.temporal
        middle = nodes[:, 0] if temporal is None else temporal.middle(nodes)
        return (self.head.score(middle[:, None])[:, 0],)


def build_graph(model: MDHR, preprocessing: Preprocessing, graph: str, inner: torch.dtype = torch.float32) -> nn.Module:
    """Cut a graph from a model; inputs and outputs are float32 (or uint8), whatever is computed in between.

    Args:
        graph: one of `mdhr_sdk.modelfolder.artefacts.GRAPHS`.
        inner: dtype of the model's own weights; its scores and region logits must come out as float32.
    """
    normalise = Normalise(preprocessing) if graph.endswith("_u8") else nn.Identity()
    if graph.startswith("clip"):
        return ClipGraph(model, normalise, inner).eval()
    if graph.startswith("encoder"):
        return EncoderGraph(model, normalise, inner).eval()
    kinds = {"head": HeadGraph, "relations": RelationsGraph, "temporal": TemporalGraph}
    return kinds[graph](model, inner).eval()
