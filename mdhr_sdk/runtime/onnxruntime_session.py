"""ONNX Runtime: exported graphs. Part of the core; never touches PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import BackendError, InputError, ModelFolderError, require
from ..folder import ModelFolder
from .base import Arrays, SessionOptions, artefact, check_inputs, export_command, graph_specs, no_artefact

NAME = "onnxruntime"
AUTO = True
DEVICES = ("cuda", "cpu")
PRECISIONS = ("fp32", "fp16", "int8")
SUFFIX = "onnx"
CUDA = "CUDAExecutionProvider"


def obstacle(folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
    """Why ONNX Runtime cannot run this graph here; None if it can."""
    if reason := no_onnx(folder, graph, options.precision):
        return reason
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package 'onnxruntime' is not installed (pip install onnxruntime)"
    if options.device.startswith("cuda") and CUDA not in _providers():
        remedy = "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        return f"device '{options.device}' needs {CUDA}, which this onnxruntime lacks ({remedy})"
    return None


def no_onnx(folder: ModelFolder, graph: str, precision: str) -> str | None:
    """Why there is no ONNX file of a graph to run; None if there is."""
    return no_artefact(folder, artefact(graph, precision, SUFFIX), export_command(folder, "onnx", graph, precision))


def open_graph(folder: ModelFolder, graph: str, options: SessionOptions) -> OnnxRuntimeSession:
    """Load and optimise an ONNX file."""
    return OnnxRuntimeSession(folder, graph, options)


class OnnxRuntimeSession:
    """A graph in ONNX Runtime; T is the folder's clip length."""

    backend = NAME

    def __init__(self, folder: ModelFolder, graph: str, options: SessionOptions, path: Path | None = None) -> None:
        """`path` is a graph to check before it becomes the folder's; without it the folder's own, verified, is read."""
        ort = require("onnxruntime", "all")
        name = artefact(graph, options.precision, SUFFIX)
        self.precision = options.precision
        content = path.read_bytes() if path else folder.read(name)
        self.inputs, self.outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        cuda = options.device.startswith("cuda")
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        # Threads that wait for the next run would take the processor from the kernels and graphs in between.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        index = options.device.partition(":")[2] or "0"
        if cuda and CUDA not in _providers():
            raise BackendError(f"device '{options.device}' was asked for, and this onnxruntime lacks {CUDA}")
        providers = [(CUDA, {"device_id": index, "use_tf32": "0"})] if cuda else []  # fp32 is to be fp32
        try:
            self._session: Any = ort.InferenceSession(content, settings, providers=[*providers, "CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exception types share no base
            raise ModelFolderError(
                f"onnxruntime cannot load '{folder.path / name}': {str(error).splitlines()[0]}"
            ) from None
        if cuda and self._session.get_providers()[0] != CUDA:
            raise BackendError(f"device '{options.device}' was asked for, but onnxruntime could not start {CUDA} here")
        self.device = options.device
        self._check_graph(name)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        if self._session is None:
            raise InputError("this session is closed; open a new one")
        check_inputs(self.inputs, inputs)
        names = [spec.name for spec in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # onnxruntime's own exception types share no base
            reason = str(error).splitlines()[0]
            raise BackendError(f"onnxruntime failed on {self.device}: {reason}; try a smaller batch") from None

    def close(self) -> None:
        self._session = None

    def _check_graph(self, file: str) -> None:
        for kind, specs, found in (
            ("inputs", self.inputs, self._session.get_inputs()),
            ("outputs", self.outputs, self._session.get_outputs()),
        ):
            wanted = {spec.name: spec.shape for spec in specs}
            has = {tensor.name: tuple(n if isinstance(n, int) else None for n in tensor.shape) for tensor in found}
            if wanted != has:
                raise ModelFolderError(f"{file} must have the {kind} {wanted}; it has {has}; export it again")


def _providers() -> list[str]:
    return require("onnxruntime", "all").get_available_providers()
