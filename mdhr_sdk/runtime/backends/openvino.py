"""OpenVINO: the exported ONNX graphs on Intel and AMD processors. Needs the extra 'openvino'; never touches PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ending import at_work
from ...errors import BackendError, ModelFolderError, install_hint
from ...modelfolder.artefacts import artefact
from ...modelfolder.folder import ModelFolder
from ...openvino_core import openvino_core
from ..session import Arrays, Session, SessionOptions, TensorSpec, check_specs, graph_specs
from .onnxruntime import SUFFIX, OnnxFileBackend

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # of what a graph leaves open: int8 stands in the graph itself


class OpenVINOBackend(OnnxFileBackend):
    """OpenVINO on the CPU."""

    def unfit(self, options: SessionOptions) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return f"the package 'openvino' is not installed; {install_hint('openvino')}"
        # Without the instructions OpenVINO takes the hint all the same, and computes something else or very slowly.
        if options.precision == "bf16" and "BF16" not in _capabilities():
            return "this CPU has no bf16 instructions"
        return None

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> OpenVINOSession:
        """Compile an ONNX file for the CPU."""
        if reason := self.unfit(options):
            raise BackendError(reason)
        return OpenVINOSession(folder, graph, options)


OPENVINO = OpenVINOBackend("openvino", ("cpu",), tuple(HINTS), SUFFIX, auto=True)


class OpenVINOSession(Session):
    """A graph in OpenVINO, on the CPU; T is the folder's clip length."""

    backend = "openvino"
    device = "cpu"

    def __init__(self, folder: ModelFolder, graph: str, options: SessionOptions, path: Path | None = None) -> None:
        """`path` is a graph to check before it becomes the folder's; without it the folder's own, verified, is read."""
        name = artefact(graph, options.precision, SUFFIX)
        self.precision = options.precision
        content = path.read_bytes() if path else folder.read(name)
        self.inputs, self.outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": HINTS[options.precision]}
        if options.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = options.threads
        try:
            core = openvino_core()
            self._model: Any = core.compile_model(core.read_model(content, b""), "CPU", settings)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelFolderError(f"openvino cannot load '{folder.path / name}': {reason}") from None
        check_specs(name, "inputs", self.inputs, _specs(self.inputs, self._model.inputs))
        check_specs(name, "outputs", self.outputs, _specs(self.outputs, self._model.outputs))
        precision = self._model.get_property("INFERENCE_PRECISION_HINT").to_string()
        if precision != HINTS[options.precision]:
            raise BackendError(f"openvino was asked for {HINTS[options.precision]} and chose {precision} on this CPU")

    @at_work()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self._check(inputs, closed=self._model is None)
        try:
            found = self._model(dict(inputs))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise BackendError(f"openvino failed on {self.device}: {reason}; try a smaller batch") from None
        return {spec.name: found[spec.name].copy() for spec in self.outputs}

    def close(self) -> None:
        self._model = None


def _specs(wanted: Sequence[TensorSpec], ports: Any) -> list[TensorSpec]:
    """What a compiled model has, under the wanted one of each port's names."""
    found, names = [], {spec.name for spec in wanted}
    for port in ports:
        own = sorted(port.get_names())
        shape = tuple(axis.get_length() if axis.is_static else None for axis in port.get_partial_shape())
        dtype = np.dtype(port.get_element_type().to_dtype()).name
        found += [TensorSpec(name, dtype, shape) for name in names.intersection(own) or own[:1]]
    return found


def _capabilities() -> list[str]:
    return openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
