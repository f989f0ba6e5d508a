"""A model repository for NVIDIA's Triton Inference Server: the exported ONNX graphs, and a config.pbtxt for each.

docs/triton.md says how it is used. Nothing here needs PyTorch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...atomic import scratch, told
from ...errors import ExportError
from ...modelfolder.artefacts import GRAPHS, artefact, export_command, no_artefact, no_stream
from ...modelfolder.folder import ModelFolder
from ...runtime.session import TensorSpec, graph_specs
from ...runtime.stream.stream_graphs import BESIDE

SERVED = ("clip", "encoder", "head", *BESIDE)  # those that there are, if none is named
VERSION = "1"
FILE = "model.onnx"  # the name that Triton's ONNX Runtime backend looks for
TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}
PRECISIONS = ("fp32", "fp16", "int8")
MOST_FRAMES = 64  # in a batch; a graph of whole clips takes as many frames in its clips
DELAY_US = 500  # how long a request waits for others


def write_repository(
    folder: str | Path, out: str | Path, graphs: Sequence[str] = (), precision: str = "fp32"
) -> Iterator[str]:
    """Write a model repository to a new folder; yields what is done, line by line.

    Each graph is a model of its own, called as `served_name` says.

    Args:
        out: must not exist.
        graphs: some of `GRAPHS`; empty for those of `SERVED` that the folder has.
        precision: of the files, 'fp32', 'fp16' or 'int8'; the small graphs beside an int8 encoder are fp32.

    Raises:
        ExportError: `out` is there, a graph was not exported or may not be used, or there is none.
        ModelFolderError: the folder cannot be read.
    """
    source, target = ModelFolder.open(folder), Path(out)
    if target.exists() or target.is_symlink():
        raise ExportError(f"expected a new folder for the repository; '{target}' is there; name another with --out")
    if precision not in PRECISIONS:
        raise ExportError(f"a Triton repository holds {', '.join(PRECISIONS)} graphs; got '{precision}'")
    files = _files(source, graphs, precision)
    if not graphs:
        yield from (f"left out: {why}" for graph in SERVED if (why := _missing(source, graph, precision)))
    with told(target, ExportError):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target.parent) as part:
            made = part / "repository"
            for graph, file in files.items():
                model = made / served_name(source, graph)
                (model / VERSION).mkdir(parents=True)
                (model / VERSION / FILE).write_bytes(source.read(file))
                (model / "config.pbtxt").write_text(config_text(source, graph), encoding="utf-8")
            made.rename(target)
    for graph in files:
        yield f"{target / served_name(source, graph)}: {graph}, {precision}"


def served_name(folder: ModelFolder, graph: str) -> str:
    """How Triton calls a graph: 'edge_encoder'. Of the folder's name, letters, digits, '_', '-' and '.' are kept."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{folder.path.resolve().name}_{graph}")


def config_text(folder: ModelFolder, graph: str) -> str:
    """The config.pbtxt of a graph: a `ModelConfig` in protobuf's text format.

    Triton adds the batch, which is the first axis of every tensor, to the shapes that stand here.
    """
    config = folder.config
    inputs, outputs = graph_specs(config, graph, config.clip_length)
    of_clips = graph.startswith(("clip", "head"))
    most = max(1, MOST_FRAMES // config.clip_length) if of_clips else MOST_FRAMES
    lines = [
        f"# {graph} of a model folder {folder.digest}, by mdhr export --format triton",
        f"name: {json.dumps(served_name(folder, graph))}",
        'backend: "onnxruntime"',
        f"max_batch_size: {most}",
        *_tensors("input", inputs),
        *_tensors("output", outputs),
        f"dynamic_batching {{ max_queue_delay_microseconds: {DELAY_US} }}",
    ]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, specs: Sequence[TensorSpec]) -> Iterator[str]:
    for spec in specs:
        sizes = ", ".join(str(-1 if size is None else size) for size in spec.shape[1:])
        yield f"{kind} [ {{ name: {json.dumps(spec.name)} data_type: {TYPES[spec.dtype]} dims: [ {sizes} ] }} ]"


def _files(folder: ModelFolder, graphs: Sequence[str], precision: str) -> dict[str, str]:
    """Graph -> file, each one that may be used."""
    if unknown := [graph for graph in graphs if graph not in GRAPHS]:
        raise ExportError(f"expected some of the graphs {', '.join(GRAPHS)}; got {', '.join(unknown)}")
    wanted = tuple(dict.fromkeys(graphs)) or SERVED
    missing = {graph: why for graph in wanted if (why := _missing(folder, graph, precision))}
    files = {graph: _file(graph, precision) for graph in wanted if graph not in missing}
    if not files or (graphs and missing):
        raise ExportError("; ".join(missing.values()))
    broken = no_stream(folder, files["encoder"], "onnxruntime", precision) if "encoder" in files else None
    if broken:
        raise ExportError(broken)
    return files


def _file(graph: str, precision: str) -> str:
    beside = graph in ("head", *BESIDE) and precision == "int8"
    return artefact(graph, "fp32" if beside else precision, "onnx")


def _missing(folder: ModelFolder, graph: str, precision: str) -> str | None:
    return no_artefact(folder, _file(graph, precision), export_command(folder, "onnx", graph, precision))
