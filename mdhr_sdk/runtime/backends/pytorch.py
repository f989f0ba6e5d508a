"""PyTorch: the model itself, from its weights. Needs the extra 'torch'."""

from __future__ import annotations

from typing import Any

from ...errors import BackendError
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ..session import SessionOptions, graph_specs
from .backend import Backend
from .torch_module import TorchModuleSession, torch_obstacle


class TorchBackend(Backend):
    """The model's own code, with the folder's weights."""

    def no_file(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        return None if folder.has(WEIGHTS) else f"the folder has no {WEIGHTS}"

    def unfit(self, options: SessionOptions) -> str | None:
        return torch_obstacle(options, "timm", "safetensors")

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> TorchSession:
        """Load the weights onto the device."""
        return TorchSession(folder, graph, options)


TORCH = TorchBackend("torch", ("cuda", "cpu"), ("fp32",), suffix=None, auto=True)


class TorchSession(TorchModuleSession):
    """A graph in PyTorch; T is free."""

    backend = "torch"

    def __init__(self, folder: ModelFolder, graph: str, options: SessionOptions) -> None:
        def load(device: str) -> Any:
            from ...model import load_model
            from ...model.graphs import build_graph

            module = build_graph(load_model(folder), folder.config.preprocessing, graph)
            try:
                return module.to(device)
            except (RuntimeError, AssertionError) as error:
                raise BackendError(f"torch cannot use the device '{device}': {str(error).splitlines()[0]}") from None

        super().__init__(graph_specs(folder.config, graph, frames=None), options, load)
