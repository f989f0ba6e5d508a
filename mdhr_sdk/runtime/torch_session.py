"""PyTorch: the model itself, from its weights. Needs the extra 'torch'."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, InputError, install_hint, require
from ..folder import WEIGHTS, ModelFolder
from .base import Arrays, SessionOptions, check_inputs, graph_specs

NAME = "torch"


def obstacle(folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
    """Why PyTorch cannot run this folder here; None if it can."""
    if options.precision != "fp32":
        return f"it runs the weights in fp32, not {options.precision}"
    if not folder.has(WEIGHTS):
        return f"the folder has no {WEIGHTS}"
    for module in ("torch", "timm", "safetensors"):
        if importlib.util.find_spec(module) is None:
            return f"the package '{module}' is not installed; {install_hint('torch')}"
    if options.device.startswith("cuda") and not require("torch", "torch").cuda.is_available():
        return f"device '{options.device}' was asked for and torch finds no CUDA device"
    return None


def open_graph(folder: ModelFolder, graph: str, options: SessionOptions) -> TorchSession:
    """Load the weights onto the device."""
    return TorchSession(folder, graph, options)


class TorchSession:
    """A graph in PyTorch; T is free."""

    backend = NAME

    def __init__(self, folder: ModelFolder, graph: str, options: SessionOptions) -> None:
        torch = require("torch", "torch")
        from ..model import load_model
        from ..model.graphs import build_graph

        self.inputs, self.outputs = graph_specs(folder.config, graph, frames=None)
        self.device = options.device
        if options.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self._torch = torch
        module = build_graph(load_model(folder), folder.config.preprocessing, graph)
        try:
            self._module: Any = module.to(torch.device(self.device))
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f"torch cannot use the device '{self.device}': {str(error).splitlines()[0]}") from None

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
