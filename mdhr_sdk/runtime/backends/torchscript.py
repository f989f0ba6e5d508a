"""TorchScript: a frozen trace of a graph. Needs PyTorch, but neither timm nor the model's code."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from ...errors import ModelFolderError, require
from ...modelfolder.artefacts import artefact
from ...modelfolder.folder import ModelFolder
from ..session import SessionOptions, graph_specs
from .backend import Backend
from .torch_module import TorchModuleSession, torch_obstacle

SUFFIX = "torchscript.pt"


class TorchScriptBackend(Backend):
    """Traces that `mdhr export --format torchscript` made."""

    def unfit(self, options: SessionOptions) -> str | None:
        return torch_obstacle(options)

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> TorchScriptSession:
        """Load a trace onto the device and optimise it there."""
        return TorchScriptSession(folder, graph, options)


TORCHSCRIPT = TorchScriptBackend("torchscript", ("cuda", "cpu"), ("fp32", "fp16"), SUFFIX, auto=True)


class TorchScriptSession(TorchModuleSession):
    """A traced graph; T is the folder's clip length."""

    backend = "torchscript"

    def __init__(self, folder: ModelFolder, graph: str, options: SessionOptions, path: Path | None = None) -> None:
        """`path` is a trace to check before it becomes the folder's; without it the folder's own, verified, is read."""
        name = artefact(graph, options.precision, SUFFIX)
        content = path.read_bytes() if path else folder.read(name)

        def load(device: str) -> Any:
            torch = require("torch", "torch")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # TorchScript is deprecated, and still what many devices load
                    module = torch.jit.load(io.BytesIO(content), map_location=device)
                    # Optimised here, not before saving: such modules save but do not load again.
                    return torch.jit.optimize_for_inference(module) if device == "cpu" else module
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise ModelFolderError(f"torch cannot load '{folder.path / name}': {reason}") from None

        super().__init__(graph_specs(folder.config, graph, folder.config.clip_length), options, load)
