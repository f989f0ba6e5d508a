"""What the two PyTorch backends share: devices, and arrays in and out of a module."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ending import at_work
from ...errors import install_hint, require
from ..cuda.devices import device_number
from ..session import Arrays, Session, SessionOptions, TensorSpec


def torch_obstacle(options: SessionOptions, *modules: str) -> str | None:
    """Why PyTorch cannot run with these options here; None if it can."""
    for module in ("torch", *modules):
        if importlib.util.find_spec(module) is None:
            return f"the package '{module}' is not installed; {install_hint('torch')}"
    if options.device.startswith("cuda"):
        count = require("torch", "torch").cuda.device_count()
        if count == 0:
            return f"device '{options.device}' was asked for and torch finds no CUDA device"
        if device_number(options.device) >= count:
            return f"device '{options.device}' was asked for and torch finds {count} CUDA devices, counted from 0"
    return None


class TorchModuleSession(Session):
    """A session around any callable module of tensors.

    Args:
        load: gives the module for a device's name.
    """

    backend = "torch"

    def __init__(
        self,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
        options: SessionOptions,
        load: Callable[[str], Any],
    ) -> None:
        torch = require("torch", "torch")
        self.inputs, self.outputs = specs
        self.device, self.precision = options.device, options.precision
        if options.threads is not None:
            torch.set_num_threads(options.threads)  # of the whole process: PyTorch knows no other
        if self.device.startswith("cuda"):
            torch.backends.cudnn.allow_tf32 = False  # of the whole process too: fp32 is to be fp32
        self._torch = torch
        self._module: Any = load(self.device)

    @at_work()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self._check(inputs, closed=self._module is None)
        # torch takes no reversed or read-only views
        arrays = [np.require(inputs[spec.name], requirements=["C", "W"]) for spec in self.inputs]
        with self._torch.inference_mode():
            tensors = self._module(*(self._torch.from_numpy(array).to(self.device) for array in arrays))
        return {spec.name: tensor.cpu().numpy() for spec, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        self._module = None
