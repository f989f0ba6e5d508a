"""PyTorch: the model itself, from its weights. Needs the extra 'torch'."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, InputError, require
from ..folder import WEIGHTS, ModelFolder
from .base import Arrays, SessionOptions, check_inputs, clip_specs

NAME = "torch"


def obstacle(folder: ModelFolder, options: SessionOptions) -> str | None:
    """Why PyTorch cannot run this folder here; None if it can."""
    if not folder.has(WEIGHTS):
        return f"the folder has no {WEIGHTS}"
    for module in ("torch", "timm", "safetensors"):
        if importlib.util.find_spec(module) is None:
            return f"the package '{module}' is not installed (pip install 'mdhr-sdk[torch]')"
    if options.device.startswith("cuda") and not require("torch", "torch").cuda.is_available():
        return f"device '{options.device}' was asked for and torch finds no CUDA device"
    return None


def open_clip(folder: ModelFolder, options: SessionOptions) -> TorchClipSession:
    """Load the weights onto the device."""
    return TorchClipSession(folder, options)


class TorchClipSession:
    """The clip model in PyTorch; T is free."""

    backend = NAME

    def __init__(self, folder: ModelFolder, options: SessionOptions) -> None:
        torch = require("torch", "torch")
        from ..model import load_model

        self.inputs, self.outputs = clip_specs(folder, frames=None)
        self.device = options.device
        if options.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self._torch = torch
        model = load_model(folder.path)
        try:
            self._model: Any = model.to(torch.device(self.device))
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f"torch cannot use the device '{self.device}': {str(error).splitlines()[0]}") from None

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        if self._model is None:
            raise InputError("this session is closed; open a new one")
        check_inputs(self.inputs, inputs)
        array = np.require(inputs["clip"], requirements=["C", "W"])  # torch takes no reversed or read-only views
        with self._torch.inference_mode():
            clip = self._torch.from_numpy(array).to(self.device)
            output = self._model(clip)
        tensors = (output.scores, *output.region_logits)
        return {spec.name: tensor.cpu().numpy() for spec, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        self._model = None
