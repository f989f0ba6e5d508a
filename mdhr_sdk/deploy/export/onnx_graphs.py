"""From a module to an ONNX graph that every runtime takes: traced, simplified, checked operator by operator."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ExportError, require
from ...modelfolder.config import FolderConfig
from ...modelfolder.onnx_file import OPERATORS
from ...runtime.session import TensorSpec, graph_specs

OPSET = 18


def trace_onnx(module: nn.Module, config: FolderConfig, graph: str, path: Path) -> None:
    """Write `module` as the ONNX file of `graph`, the batch free and T fixed to the folder's clip length.

    Raises:
        ExportError: the graph needs an operator outside `OPERATORS`, or another opset than 18.
        MissingDependencyError: the extra 'export' is not installed.
    """
    onnx, onnxsim = require("onnx", "export"), require("onnxsim", "export")
    require("onnxscript", "export")
    inputs, outputs = graph_specs(config, graph, config.clip_length)
    free: Any = {0: torch.export.Dim.DYNAMIC}
    shapes = (free,) if len(inputs) == 1 else (free, (free,) * (len(inputs) - 1))  # HeadGraph takes *maps
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            examples(inputs),
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in inputs],
            output_names=[spec.name for spec in outputs],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)
    simplified, _ = onnxsim.simplify(onnx.load(path))
    check_graph(simplified, graph)
    onnx.save(simplified, path)


def examples(inputs: tuple[TensorSpec, ...]) -> tuple[torch.Tensor, ...]:
    """Zeros of the inputs' shapes at batch 2; a batch of 1 would be taken for a constant."""
    return tuple(
        torch.zeros([2 if n is None else n for n in spec.shape], dtype=getattr(torch, spec.dtype)) for spec in inputs
    )


def check_graph(model: Any, graph: str) -> None:
    """Refuse operators and opsets that not every runtime takes.

    Raises:
        ExportError: names them.
    """
    found = Counter(node.op_type for node in model.graph.node)
    foreign = {name: count for name, count in found.items() if name not in OPERATORS}
    opset = {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
    if foreign or opset != {OPSET}:
        raise ExportError(
            f"the {graph} graph must hold only operators that every runtime takes, in opset {OPSET}; it has "
            f"{foreign or 'no others'} in opset {sorted(opset)}; take another backbone or the torch backend"
        )
