"""A model folder's clip graph as ONNX, written only if it answers like the model (extra 'export')."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelFolderError, require
from ..folder import WEIGHTS, ModelFolder
from ..model import MDHR, load_model
from ..runtime import SessionOptions
from ..runtime.base import clip_specs
from ..runtime.onnxruntime_session import CLIP, OnnxRuntimeClipSession
from .parity import ParityReport, compare

OPSET = 18


class ClipGraph(nn.Module):
    """The model with a flat tuple of outputs, as exporters want it."""

    def __init__(self, model: MDHR) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        output = self.model(clip)
        return (output.scores, *output.region_logits)


def export_clip(folder: str | Path) -> tuple[Path, ParityReport]:
    """Write `clip.onnx` (batch free, T fixed to the folder's clip length) and compare it with the weights.

    Returns:
        The file, and how it compares.

    Raises:
        ModelFolderError: the folder has no usable weights, or the graph does not answer like the model; an earlier
            `clip.onnx` then stays as it was.
        MissingDependencyError: the extra 'export' is not installed.
    """
    onnx = require("onnx", "export")
    require("onnxscript", "export")
    target = ModelFolder.open(folder)
    model = load_model(target.path)
    made: dict[str, Any] = {
        "tool": "mdhr export --format onnx",
        "source_sha256": target.manifest[WEIGHTS]["sha256"],
        "options": {"opset": OPSET, "precision": "fp32", "clip_length": target.config.clip_length},
        "versions": {"torch": torch.__version__, "onnx": onnx.__version__},
    }
    with target.writing(CLIP, made) as part:
        _to_onnx(model, target, part)
        session = OnnxRuntimeClipSession(target, SessionOptions(device="cpu"), part)
        report = compare(target.config, lambda clip: _reference(model, clip), lambda clip: session.run({"clip": clip}))
        session.close()
        if not report.passed:
            raise ModelFolderError(
                f"the ONNX graph of '{target.path}' does not answer like its weights and was not kept: {report}"
            )
        made["parity"] = report.to_dict()
    return target.path / CLIP, report


def _to_onnx(model: MDHR, target: ModelFolder, path: Path) -> None:
    inputs, outputs = clip_specs(target, target.config.clip_length)
    example = torch.zeros(2, *(n for n in inputs[0].shape[1:] if n is not None))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            ClipGraph(model),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["clip"],
            output_names=[spec.name for spec in outputs],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


@torch.inference_mode()
def _reference(model: MDHR, clip: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    output = model(torch.from_numpy(clip))
    logits = {f"region_logits_{i}": x.numpy() for i, x in enumerate(output.region_logits)}
    return {"scores": output.scores.numpy(), **logits}
