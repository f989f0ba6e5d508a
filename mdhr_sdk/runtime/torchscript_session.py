"""TorchScript: a frozen trace of a graph. Needs PyTorch, but neither timm nor the model's code."""

from __future__ import annotations

import importlib.util
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, InputError, ModelFolderError, install_hint, require
from ..folder import ModelFolder
from .base import Arrays, SessionOptions, check_inputs, graph_specs, no_artefact

NAME = "torchscript"
SUFFIX = "torchscript.pt"


def obstacle(folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
    """Why TorchScript cannot run this graph here; None if it can."""
    if options.precision != "fp32":
        return f"it runs fp32, not {options.precision}"
    if reason := no_artefact(folder, graph, SUFFIX):
        return reason
    if importlib.util.find_spec("torch") is None:
        return f"the package 'torch' is not installed; {install_hint('torch')}"
    if options.device.startswith("cuda") and not require("torch", "torch").cuda.is_available():
        return f"device '{options.device}' was asked for and torch finds no CUDA device"
    return None


def open_graph(folder: ModelFolder, graph: str, options: SessionOptions) -> TorchScriptSession:
    """Load a trace onto the device and optimise it there."""
    return TorchScriptSession(folder, graph, options)


class TorchScriptSession:
    """A traced graph; T is the folder's clip length."""

    backend = NAME

    def __init__(self, folder: ModelFolder, graph: str, options: SessionOptions, path: Path | None = None) -> None:
        """`path` is a trace to check before it becomes the folder's; without it the folder's own, verified, is read."""
        torch = require("torch", "torch")
        name = f"{graph}.{SUFFIX}"
        content = path.read_bytes() if path else folder.read(name)
        self.inputs, self.outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        self.device = options.device
        if options.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self._torch = torch
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TorchScript is deprecated, and still what many devices load
                module = torch.jit.load(io.BytesIO(content), map_location=self.device)
                # Optimised here, not before saving: such modules save but do not load again.
                self._module: Any = torch.jit.optimize_for_inference(module) if self.device == "cpu" else module
        except RuntimeError as error:
            raise ModelFolderError(f"torch cannot load '{folder.path / name}': {str(error).splitlines()[0]}") from None
        except (AssertionError, ValueError) as error:
            raise BackendError(f"torch cannot use the device '{self.device}': {error}") from None

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        if self._module is None:
            raise InputError("this session is closed; open a new one")
        check_inputs(self.inputs, inputs)
        # torch takes no reversed or read-only views
        arrays = [np.require(inputs[spec.name], requirements=["C", "W"]) for spec in self.inputs]
        with self._torch.inference_mode():
            tensors = self._module(*(self._torch.from_numpy(array).to(self.device) for array in arrays))
        return {spec.name: tensor.cpu().numpy() for spec, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        self._module = None
