"""Exports a model folder's graphs into it, each only after it has answered like the weights."""

from __future__ import annotations

import io
import platform
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import __version__
from ...errors import ExportError, require
from ...model.graphs import build_graph
from ...model.weights import load_with_digest
from ...modelfolder.artefacts import GRAPHS, HEADS, artefact
from ...modelfolder.config import FolderConfig
from ...modelfolder.folder import ModelFolder
from ...runtime import Session, SessionOptions
from ...runtime.backends.onnxruntime import SUFFIX as ONNX
from ...runtime.backends.onnxruntime import OnnxRuntimeSession
from ...runtime.backends.torch_module import TorchModuleSession
from ...runtime.backends.torchscript import SUFFIX as TORCHSCRIPT
from ...runtime.backends.torchscript import TorchScriptSession
from ...runtime.session import graph_specs
from ..parity.footage import calibration_clips
from ..parity.judge import BATCHES, Judge
from ..parity.pytorch_reference import WeightsReference
from ..parity.report import ParityReport
from .half import half_view
from .layers import Layers, choose_layers
from .onnx_graphs import OPSET, check_graph, examples, trace_onnx
from .quantise import Quantiser
from .view import export_view

DEFAULT_GRAPHS = ("clip", "encoder", "head", "relations", "temporal")
HALF_BATCHES = (1, 2)  # halves are slow on a CPU
ALONE = (3,)  # of clips that a single layer in int8 is measured on


@dataclass(frozen=True)
class Format:
    """A file format: how it is written and run, and what the manifest says of it."""

    suffix: str
    trace: Callable[[nn.Module, FolderConfig, str, Path], None]
    session: Callable[[ModelFolder, str, SessionOptions, Path], Session]
    precisions: tuple[str, ...]
    tools: tuple[str, ...]
    options: dict[str, int]


@dataclass(frozen=True)
class Exported:
    """What came of one graph.

    Attributes:
        path: its file.
        outcome: how it compares with the weights; as text why it was not kept.
        layers: which layers of an int8 graph are fp32, and what each costs.
    """

    path: Path
    outcome: ParityReport | str
    layers: Layers | None = None

    def lines(self) -> Iterator[str]:
        """For people."""
        if isinstance(self.outcome, str):
            yield f"{self.path}: not kept"
        else:
            yield f"{self.path}: {self.path.stat().st_size / 1e6:.1f} MB; {self.outcome}"
        yield from self.layers.lines() if self.layers else ()


def export_graphs(folder: str | Path, *arguments: Any, **options: Any) -> dict[Path, ParityReport]:
    """`export_each` at once: file -> how it compares with the weights."""
    found = export_each(folder, *arguments, **options)
    return {one.path: one.outcome for one in found if not isinstance(one.outcome, str)}


def export_each(
    folder: str | Path,
    kind: str = "onnx",
    graphs: Sequence[str] = (),
    precision: str = "fp32",
    calibrate: object = None,
) -> Iterator[Exported]:
    """Write graphs of a model folder into it, one by one; where one is not kept, the others are made all the same.

    Args:
        kind: one of `FORMATS`: 'onnx', or 'torchscript', whose traces load without timm and this package's model.
        graphs: some of `GRAPHS`; empty for all from pictures as floats: 'clip' for clips,
            'encoder' and 'head' for clips whose frames are kept, 'encoder', 'relations' and 'temporal' for streams.
            int8 leaves `HEADS` out: they are small, so that little time is to be gained.
        precision: 'fp32', 'fp16', or 'int8' (ONNX only).
        calibrate: a video, a folder or whatever else the detector reads, with faces. int8 needs it, and is measured on
            half of its clips and judged by the others; any other precision is judged by them when it is given.

    Raises:
        ExportError: at the end, what could not be made or does not answer like the model; earlier files of those stay
            as they were.
        ModelFolderError: the folder has no usable weights, or cannot be written; or its weights were replaced
            meanwhile, of which no graph is kept that was made from the ones before.
        SourceError: `calibrate` cannot be read, or shows too few faces.
        MissingDependencyError: the extra 'export' is not installed.
    """
    graphs = tuple(dict.fromkeys(graphs)) or default_graphs(precision)
    check_request(kind, graphs, precision, calibrate)
    target = ModelFolder.open(folder)
    target.check_own()
    check_length(target.config, kind, graphs)
    model, weights = load_with_digest(target)
    reference = WeightsReference(target.config, model, export_view(model, target.config.clip_length))
    clips = None if calibrate is None else calibration_clips(calibrate, target.config)
    maker = _Maker(target, weights, FORMATS[kind], precision, reference, clips)
    failed = []
    for graph in graphs:
        path = target.path / artefact(graph, precision, FORMATS[kind].suffix)
        try:
            outcome: ParityReport | str = maker.make(graph, provenance(target, weights, kind, graph, precision))
        except ExportError as error:
            failed.append(outcome := str(error))
        yield Exported(path, outcome, maker.layers)
    if failed:
        raise ExportError("; ".join(failed))


@dataclass
class _Maker:
    """Makes graphs of one folder in one format and precision.

    Attributes:
        weights: SHA-256 of the folder's.
        clips: of the footage to judge by; of int8 also to measure ranges on.
        layers: of the int8 graph that was made last.
    """

    target: ModelFolder
    weights: str
    form: Format
    precision: str
    reference: WeightsReference
    clips: NDArray[np.uint8] | None
    layers: Layers | None = None

    def __post_init__(self) -> None:
        self.config = self.target.config
        halves = (None, None) if self.clips is None else (self.clips[::2], self.clips[1::2])
        self._tuner, self._judge = (Judge(self.config, self.reference, half) for half in halves)

    def make(self, graph: str, made: dict[str, Any]) -> ParityReport:
        """Write and judge; raises ExportError if the graph cannot be kept."""
        half, self.layers = self.precision == "fp16", None
        view = self.reference.view
        if half:
            view = half_view(view, cached=not graph.startswith("clip"))
        module = build_graph(view, self.config.preprocessing, graph, torch.float16 if half else torch.float32)
        with self.target.writing(artefact(graph, self.precision, self.form.suffix), made) as part:
            if half:
                self._judge.gate(self._in_torch(module, graph), graph, made, "parity_in_halves", HALF_BATCHES)
            if self.precision == "int8":
                self._write_int8(graph, module, part)
                assert self.layers is not None
                made["int8"] = self.layers.to_dict()
                made["options"]["weight_bits"] = self.layers.weight_bits
            else:
                self.form.trace(module, self.config, graph, part)
            return self._judge.gate(self._session(graph, part), graph, made)

    def _session(self, graph: str, path: Path) -> Session:
        return self.form.session(self.target, graph, SessionOptions("cpu", precision=self.precision), path)

    def _in_torch(self, module: nn.Module, graph: str) -> Session:
        """The module itself: PyTorch rounds to halves on a CPU too, where ONNX Runtime computes fp16 graphs in fp32."""
        specs = graph_specs(self.config, graph, self.config.clip_length)
        return TorchModuleSession(specs, SessionOptions("cpu", precision="fp16"), lambda device: module)

    def _write_int8(self, graph: str, module: nn.Module, part: Path) -> None:
        assert self.clips is not None and self._tuner.clips is not None
        exact, clips = part.with_name(f"{part.name}.fp32"), self._tuner.clips

        def trial(rounded: Collection[str]) -> ParityReport:
            quantiser.write(part, rounded)
            session = self._session(graph, part)
            try:
                return self._tuner.compare(session, graph, ALONE if len(rounded) == 1 else BATCHES)
            finally:
                session.close()

        try:
            self.form.trace(module, self.config, graph, exact)
            quantiser = Quantiser(exact, self.config, graph, clips)
            self.layers = choose_layers(quantiser, trial)
        finally:
            exact.unlink(missing_ok=True)
        check_graph(require("onnx", "export").load(part), graph)


def default_graphs(precision: str) -> tuple[str, ...]:
    """What is exported where no graph is named."""
    return tuple(graph for graph in DEFAULT_GRAPHS if precision != "int8" or graph not in HEADS)


def trace_torchscript(module: nn.Module, config: FolderConfig, graph: str, path: Path) -> None:
    """Trace `module` at batch 2 and T of the folder, freeze and save it."""
    inputs, _ = graph_specs(config, graph, config.clip_length)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        content = io.BytesIO()  # PyTorch's own file writer ends the process when the disk is full
        torch.jit.save(torch.jit.freeze(torch.jit.trace(module, examples(inputs), check_trace=False)), content)
    path.write_bytes(_without_sources(content).getbuffer())


def _without_sources(content: io.BytesIO) -> io.BytesIO:
    """The same archive without its notes of which line of which file, by its path on this machine, made a node."""
    content.seek(0)
    archive, out = torch._C.PyTorchFileReader(content), io.BytesIO()
    writer = torch._C.PyTorchFileWriter(out)
    for name in archive.get_all_records():
        if not name.endswith(".debug_pkl") and name not in (".data/version", "version", ".data/serialization_id"):
            record = archive.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return out


FORMATS = {
    "onnx": Format(
        suffix=ONNX,
        trace=trace_onnx,
        session=OnnxRuntimeSession,
        precisions=("fp32", "fp16", "int8"),
        tools=("torch", "timm", "onnx", "onnxsim", "onnxscript", "onnxruntime"),
        options={"opset": OPSET},
    ),
    "torchscript": Format(
        suffix=TORCHSCRIPT,
        trace=trace_torchscript,
        session=TorchScriptSession,
        precisions=("fp32", "fp16"),
        tools=("torch", "timm"),
        options={},
    ),
}


def check_request(kind: str, graphs: Sequence[str], precision: str, calibrate: object) -> None:
    """Refuse what cannot be exported, before any work.

    Raises:
        ExportError: names what there is.
    """
    if kind not in FORMATS:
        raise ExportError(f"unknown format '{kind}'; expected one of {', '.join(FORMATS)}")
    if precision not in FORMATS[kind].precisions:
        raise ExportError(f"{kind} comes in {', '.join(FORMATS[kind].precisions)}; got precision '{precision}'")
    unknown = [graph for graph in graphs if graph not in GRAPHS]
    if unknown:
        raise ExportError(f"expected some of the graphs {', '.join(GRAPHS)}; got {', '.join(unknown)}")
    if precision == "int8" and (small := [graph for graph in graphs if graph in HEADS]):
        raise ExportError(f"the {small[0]} has no int8 form: it is small, and stays in fp32 beside an int8 encoder")
    if precision == "int8" and calibrate is None:
        raise ExportError("int8 needs footage to measure ranges on; add --calibrate VIDEO_OR_FOLDER with faces")


def check_length(config: FolderConfig, kind: str, graphs: Sequence[str]) -> None:
    """Refuse ONNX graphs of differences where a clip has none: ONNX Runtime takes no empty products.

    Raises:
        ExportError: says what can be exported.
    """
    whole = [graph for graph in graphs if graph in ("clip", "clip_u8", "head")]
    if kind == "onnx" and whole and config.model.mfd and config.clip_length == 1:
        raise ExportError(
            f"the {whole[0]} graph of a model with dynamics needs clips of 2 frames or more in ONNX; this folder's "
            "clip_length is 1: export the encoder, relations and temporal, or to torchscript"
        )


def provenance(target: ModelFolder, weights: str, kind: str, graph: str, precision: str) -> dict[str, Any]:
    """What the manifest says of an artefact: from which weights (SHA-256), how, with which tools, on what."""
    form, length = FORMATS[kind], target.config.clip_length
    return {
        "tool": f"mdhr export --format {kind}",
        "source_sha256": weights,
        "options": {"graph": graph, "precision": precision, "clip_length": length, **form.options},
        "versions": {"mdhr_sdk": __version__, **{name: require(name, "export").__version__ for name in form.tools}},
        "device": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
    }
