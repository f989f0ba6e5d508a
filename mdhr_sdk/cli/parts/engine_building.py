"""What `export/build_engine.py` does: a folder, the ONNX graphs it lacks, the engines."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ...deploy import EngineOptions, EngineReport, build_engine
from ...deploy.engines.plan import find_target, plan_engine
from ...errors import number_of, require
from ...modelfolder.artefacts import artefact
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ..models.init import make_folder
from .options import say

DEFAULT_MODEL = Path("models/untrained-resnet50")
EXPORTERS = ("torch", "timm", "safetensors", "onnx", "onnxscript", "onnxsim")


def run_build(model: str | Path, options: Sequence[EngineOptions], dry_run: bool) -> None:
    """Build one engine for each of `options`, with a line for every step.

    The default model is made if it is not there, and so are ONNX graphs where the extra 'export' is installed.
    """
    for one in options:
        find_target(one)  # without a toolchain or a device nothing else is worth the time
    if Path(model) == DEFAULT_MODEL and not DEFAULT_MODEL.exists():
        if dry_run:
            say(f"would make {model}, an untrained ResNet-50, export it to ONNX and build from that")
            return
        for module in EXPORTERS:
            require(module, "export")
        say(f"making {model}: an untrained ResNet-50, whose scores mean nothing")
        make_folder(DEFAULT_MODEL, "bp4d", "resnet50", k=5, seed=0, pretrained=False, checkpoint=None)
    folder = ModelFolder.open(model)
    if not dry_run:
        folder.check_own()
    for one in options:
        if can_export(folder, one):
            say(f"{'would export' if dry_run else 'exporting'} {_onnx(one)} first, which the folder lacks")
            if dry_run:
                continue
            _export(model, one)
        if dry_run:
            plan = plan_engine(folder, one)
            done = "up to date" if plan.up_to_date(folder) else "to be built"
            say("\n".join([*plan.lines(), f"state      {done}"]))
        else:
            say(told(build_engine(model, one)))


def can_export(folder: ModelFolder, options: EngineOptions) -> bool:
    """Whether the ONNX graph is missing and can be made here; int8 needs footage, so it is never made unasked."""
    here = all(importlib.util.find_spec(module) for module in EXPORTERS)
    return here and options.precision != "int8" and folder.has(WEIGHTS) and not folder.has(_onnx(options))


def told(report: EngineReport) -> str:
    """One line on an engine."""
    done = f"built in {report.build_s:.1f} s" if report.built else "up to date"
    if report.parity:
        against = report.parity.get("against", WEIGHTS)
        to = "the weights" if against == WEIGHTS else against
        proof = f"largest difference of a score to {to} {report.parity['max_score']:.1e}"
    else:
        proof = f"not compared with the weights ({report.unproven}), so 'auto' passes over it"
    return f"{report.path}: {report.size_bytes / 1e6:.1f} MB, {done}, {number_of(report.layers, 'layer')}; {proof}"


def _onnx(options: EngineOptions) -> str:
    return artefact(options.graph, options.precision, "onnx")


def _export(model: str | Path, options: EngineOptions) -> None:
    from ...deploy import export_graphs

    export_graphs(model, "onnx", [options.graph], options.precision)
