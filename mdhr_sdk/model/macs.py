"""Multiply-adds by module, counted by PyTorch from shapes alone: nothing is computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..modelfolder.config import FolderConfig
from .graphs import build_graph
from .mdhr import MDHR


def graph_macs(config: FolderConfig, graph: str) -> dict[str, int]:
    """Multiply-adds of convolutions, linear layers and matrix products of one clip, frame ('encoder') or window.

    Args:
        config: its `clip_length` is the T of 'clip' and 'head'.
        graph: one of `mdhr_sdk.modelfolder.artefacts.GRAPHS`.

    Returns:
        Module of `MDHR` -> multiply-adds, batch 1; '' for all of them. A module without any is absent.
    """
    with torch.device("meta"):
        module, inputs = graph_example(MDHR(config.model).eval(), config, graph)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            module(*inputs)
    root = type(module).__name__
    counts = {own_name(name.removeprefix(root).lstrip(".")): ops for name, ops in counter.get_flop_counts().items()}
    macs = {name: sum(ops.values()) // 2 for name, ops in counts.items() if name != "Global"}
    return {**macs, "": counter.get_total_flops() // 2}


def graph_example(model: MDHR, config: FolderConfig, graph: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A graph of `model`, and zeros to call it with, batch 1, on PyTorch's current default device."""
    module, size = build_graph(model, config.preprocessing, graph), config.model.input_size_px
    picture = torch.zeros((size, size, 3), dtype=torch.uint8) if graph.endswith("_u8") else torch.zeros(3, size, size)
    if graph.startswith("encoder"):
        return module, (picture[None],)
    clip = picture.expand(1, config.clip_length, *picture.shape)
    if graph.startswith("clip"):
        return module, (clip,)
    with torch.inference_mode():
        frame = model.encode(clip[:, :1])
    if graph == "temporal":
        settings = config.model
        return module, (
            torch.zeros(1, 2 * settings.temporal_reach + 1, len(settings.label_set.aus), settings.au_width),
        )
    if graph == "relations":
        fusion = [] if model.head.dynamics is None else [model.head.dynamics.fusion.width]
        return module, (frame.static[0], *(torch.zeros(1, width, *frame.maps[0].shape[-2:]) for width in fusion))
    static, *maps = (x.expand(-1, config.clip_length, *x.shape[2:]) for x in (frame.static, *frame.maps))
    return module, (static, *maps)


def own_name(name: str) -> str:
    """The name that a module of a graph has in `MDHR`: the clip graph holds the model as 'model'."""
    return name.removeprefix("model").lstrip(".")
