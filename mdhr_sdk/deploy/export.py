"""Exports a model folder's graphs into it, each only after it has answered like the weights."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import FolderConfig
from ..errors import ExportError, require
from ..folder import WEIGHTS, ModelFolder
from ..model import MDHR, load_model
from ..model.graphs import build_graph
from ..runtime import Session, SessionOptions
from ..runtime.base import GRAPHS, graph_specs
from ..runtime.onnxruntime_session import SUFFIX as ONNX
from ..runtime.onnxruntime_session import OnnxRuntimeSession
from ..runtime.torchscript_session import SUFFIX as TORCHSCRIPT
from ..runtime.torchscript_session import TorchScriptSession
from .onnx_graphs import OPSET, examples, trace_onnx
from .parity import ParityReport, check_parity
from .view import export_view

DEFAULT_GRAPHS = ("clip", "encoder", "head")
OPTIONS: dict[str, dict[str, int]] = {"torchscript": {}, "onnx": {"opset": OPSET}}
TOOLS = {
    "torchscript": ("torch", "timm"),
    "onnx": ("torch", "timm", "onnx", "onnxsim", "onnxscript", "onnxruntime"),
}


def export_onnx(folder: str | Path, graphs: Sequence[str] = DEFAULT_GRAPHS) -> dict[Path, ParityReport]:
    """Write ONNX graphs in fp32.

    Args:
        graphs: some of `mdhr_sdk.runtime.base.GRAPHS`.

    Returns:
        File -> how it compares with the weights.

    Raises:
        ExportError: a graph cannot be made or does not answer like the model; an earlier file stays as it was.
        ModelFolderError: the folder has no usable weights, or cannot be written.
        MissingDependencyError: the extra 'export' is not installed.
    """
    return _export(folder, graphs, "onnx", ONNX, trace_onnx, OnnxRuntimeSession)


def export_torchscript(folder: str | Path, graphs: Sequence[str] = DEFAULT_GRAPHS) -> dict[Path, ParityReport]:
    """Write frozen TorchScript traces in fp32; they load without timm and without this package's model.

    Args, returns and raises as `export_onnx`.
    """
    return _export(folder, graphs, "torchscript", TORCHSCRIPT, trace_torchscript, TorchScriptSession)


def _export(
    folder: str | Path,
    graphs: Sequence[str],
    kind: str,
    suffix: str,
    trace: Callable[[nn.Module, FolderConfig, str, Path], None],
    open_session: Callable[[ModelFolder, str, SessionOptions, Path], Session],
) -> dict[Path, ParityReport]:
    check_graphs(graphs)
    target = ModelFolder.open(folder)
    model = load_model(target)
    view = export_view(model, target.config.clip_length)
    reports = {}
    for graph in dict.fromkeys(graphs):
        name = f"{graph}.{suffix}"
        made = provenance(target, kind, graph)
        with target.writing(name, made) as part:
            trace(build_graph(view, target.config.preprocessing, graph), target.config, graph, part)
            session = open_session(target, graph, SessionOptions("cpu", precision="fp32"), part)
            reports[target.path / name] = gate(target, model, view, session, graph, made)
    return reports


def trace_torchscript(module: nn.Module, config: FolderConfig, graph: str, path: Path) -> None:
    """Trace `module` at batch 2 and T of the folder, freeze and save it."""
    inputs, _ = graph_specs(config, graph, config.clip_length)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.freeze(torch.jit.trace(module, examples(inputs), check_trace=False)), path)


def gate(
    target: ModelFolder, model: MDHR, view: MDHR, session: Session, graph: str, made: dict[str, Any]
) -> ParityReport:
    """Compare a session with the weights and note the figures in `made`.

    Raises:
        ExportError: it does not answer like them.
    """
    report = check_parity(target.config, graph, model, view, session)
    session.close()
    made["parity"] = report.to_dict()
    if report.failure:
        raise ExportError(f"the {graph} graph of '{target.path}' was not kept: {report.failure}")
    return report


def check_graphs(graphs: Sequence[str]) -> None:
    """Refuse names that are no graph.

    Raises:
        ExportError: names what there is.
    """
    unknown = [graph for graph in graphs if graph not in GRAPHS]
    if unknown or not graphs:
        raise ExportError(f"expected some of the graphs {', '.join(GRAPHS)}; got {', '.join(unknown) or 'none'}")


def provenance(target: ModelFolder, kind: str, graph: str) -> dict[str, Any]:
    """What the manifest says of an artefact: from which weights, how, with which tools, on what."""
    return {
        "tool": f"mdhr export --format {kind}",
        "source_sha256": target.manifest[WEIGHTS]["sha256"],
        "options": {"graph": graph, "precision": "fp32", "clip_length": target.config.clip_length, **OPTIONS[kind]},
        "versions": {name: require(name, "export").__version__ for name in TOOLS[kind]},
        "device": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
    }
