"""Parameters and multiply-adds of a model by module, from two independent counters.

PyTorch's counter sees the operators that run, on shapes alone; fvcore reads a trace of a real run. Neither counts
elementwise work, pooling, softmax or the cosine of the scores.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mdhr_sdk.errors import ConfigError, require
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig

GRAPHS = ("clip", "encoder", "head")
# fvcore also counts the arithmetic of normalisation and pooling, which PyTorch's counter leaves out.
PRODUCTS = ("conv", "linear", "addmm", "matmul", "mm", "bmm", "einsum")


@dataclass(frozen=True)
class Cost:
    """One module of one model.

    Attributes:
        clip_macs_a_frame: `forward` of a clip, differences before convolutions, over its T frames.
        fvcore_clip_macs_a_frame: the same by the second counter.
        cached_macs_a_frame: `head(encode(clip))`, over its T frames.
        streamed_macs_a_frame: what a new frame costs when features are kept: `encoder` once, `head` on a window of T.
    """

    module: str
    parameters: int
    clip_macs_a_frame: float
    fvcore_clip_macs_a_frame: float
    cached_macs_a_frame: float
    streamed_macs_a_frame: float


@dataclass(frozen=True)
class Count:
    """One model.

    Attributes:
        difference: largest relative difference of the two counters, over the totals of the three graphs.
        attention_macs_a_frame: products of queries, keys and values inside the backbone, part of the total.
    """

    label_set: str
    backbone: str
    clip_length: int
    modules: list[Cost]
    total: Cost
    difference: float
    attention_macs_a_frame: float


def module_names(config: ModelConfig) -> dict[str, str]:
    """Row of the table -> module of `MDHR`; together they hold everything that is counted."""
    scales = config.scales if config.mfd else ()
    return {
        "backbone": "encoder.backbone",
        **{f"projection of scale {s}": f"encoder.project.convs.{i}" for i, s in enumerate(scales)},
        "static path": "encoder.static",
        "dynamics, after the projections": "head.dynamics",
        "local relations": "head.relations",
        "cross-regional graph": "head.graph",
        "temporal convolution": "head.temporal",
        "similarity score": "head.score",
    }


def count(config: FolderConfig) -> Count:
    """Count one model with both counters.

    Raises:
        ConfigError: something is counted that no module of the table holds.
        MissingDependencyError: PyTorch or fvcore is not installed.
    """
    from mdhr_sdk.model import MDHR
    from mdhr_sdk.model.macs import graph_example, graph_macs

    frames, model = config.clip_length, config.model
    ours = {graph: graph_macs(config, graph) for graph in GRAPHS}
    with plain_attention():
        built = MDHR(model).eval()
    second = {graph: fvcore_macs(*graph_example(built, config, graph)) for graph in GRAPHS}
    parameters = {name: sum(p.numel() for p in part.parameters()) for name, part in built.named_modules()}

    def cost(label: str, key: str) -> Cost:
        clip, encoder, head = (ours[graph].get(key, 0) for graph in GRAPHS)
        fvcore = sum(second["clip"].get(key, {}).values())
        held = parameters.get(key, 0)
        return Cost(label, held, clip / frames, fvcore / frames, encoder + head / frames, encoder + head)

    modules, total = [cost(*row) for row in module_names(model).items()], cost("total", "")
    for name in ("parameters", "clip_macs_a_frame", "streamed_macs_a_frame"):
        if abs(sum(getattr(row, name) for row in modules) - getattr(total, name)) > 0.5:
            raise ConfigError(f"the modules' {name} do not add up to the model's; add the missing one to module_names")
    differences = [abs(sum(second[graph][""].values()) / ours[graph][""] - 1) for graph in GRAPHS]
    attention = second["clip"].get("encoder.backbone", {}).get("matmul", 0) / frames
    return Count(model.label_set.name, model.backbone, frames, modules, total, max(differences), attention)


def fvcore_macs(module: Any, inputs: tuple[Any, ...]) -> dict[str, dict[str, int]]:
    """Module of `MDHR` -> operator -> multiply-adds by fvcore, of `PRODUCTS` only."""
    from mdhr_sdk.model.macs import own_name

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses TorchScript, which is deprecated
        analysis = require("fvcore.nn", "bench").FlopCountAnalysis(module, inputs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        counts = analysis.by_module_and_operator()
    return {
        own_name(name): {op: int(macs) for op, macs in ops.items() if op in PRODUCTS} for name, ops in counts.items()
    }


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Models built inside show the two products of attention; fvcore does not know PyTorch's fused operator."""
    layers = require("timm.layers", "bench")
    fused = layers.use_fused_attn()
    layers.set_fused_attn(False)
    try:
        yield
    finally:
        layers.set_fused_attn(fused)
