"""TensorRT engines in a model folder: built when something they depend on changed, kept when they answer right."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import ExportError, ModelFolderError
from ...modelfolder.folder import ModelFolder
from ...runtime import SessionOptions
from ...runtime.backends.tensorrt import TensorRTSession
from ...runtime.cuda.devices import cuda_device_count, power_mode
from ...runtime.cuda.memory import memory_obstacle
from ...runtime.cuda.toolchains import foreign
from ..parity.footage import demo_clips
from ..parity.judge import Judge
from ..parity.references import open_reference, reference_obstacle
from .builder import BuiltEngine, build_serialized, inspect_engine
from .plan import EngineOptions, EnginePlan, plan_engine

TIMING_CACHE = "tensorrt.timing-cache"
log = logging.getLogger("mdhr_sdk.tensorrt")


@dataclass(frozen=True)
class EngineReport:
    """What `build_engine` did.

    Attributes:
        path: the engine.
        plan: what it was built from and for.
        built: False when the one in the folder was up to date.
        size_bytes: of the engine.
        build_s: seconds that the build took, when it was built.
        layers: how many layers the layer report holds.
        parity: how it compares with the weights, as in the manifest; None when it could not be run here.
        unproven: why it could not; empty when it was.
    """

    path: Path
    plan: EnginePlan
    built: bool
    size_bytes: int
    build_s: float
    layers: int
    parity: dict[str, Any] | None
    unproven: str


def build_engine(folder: str | Path, options: EngineOptions | None = None) -> EngineReport:
    """Build an engine into a model folder, unless the one there is up to date and as proven as it can be here.

    The engine is written with a layer report beside it (`NAME.layers.json`) and, with TensorRT, the timing cache of
    the device, which makes the next build faster. On a machine that can run it, it is compared with the weights and
    kept only if it answers like them.

    Raises:
        MissingDependencyError: the toolchain is not installed; the message says how to get it.
        BackendError: there is no device to build on.
        ExportError: nothing to build from, a graph that TensorRT does not take, or answers that are not the weights'.
        ModelFolderError: the folder cannot be read or written; an earlier engine stays as it was.
    """
    target = ModelFolder.open(folder)
    target.check_own()
    plan = plan_engine(target, options or EngineOptions())
    unproven = _why_unproven(target, plan)
    entry = target.manifest.get(plan.name, {})
    if plan.up_to_date(target) and (entry.get("parity") or unproven):
        return _report(target, plan, entry, built=False, unproven="" if entry.get("parity") else unproven)
    onnx = target.read(plan.source)
    if hashlib.sha256(onnx).hexdigest() != plan.onnx_sha256:
        raise ExportError(f"{plan.source} was exported anew just now; build the engine again")
    started = time.perf_counter()
    built = build_serialized(plan, target.config, onnx, _timing_cache(target))
    seconds = time.perf_counter() - started
    _keep_timing_cache(target, plan, built)
    made = _provenance(target, plan, seconds)
    layers = _layer_report(plan, built)
    made["layers"] = len(layers["layers"])
    report = {"tool": made["tool"], "key": plan.key}
    with target.writing(f"{plan.name}.layers.json", report) as layers_part:
        layers_part.write_text(json.dumps(layers, indent=1) + "\n", encoding="utf-8")
        with target.writing(plan.name, made) as part:
            part.write_bytes(built.content)
            if not unproven:
                _prove(target, plan, part, made)
    return _report(target, plan, made, built=True, unproven=unproven)


def _report(
    target: ModelFolder, plan: EnginePlan, entry: dict[str, Any], *, built: bool, unproven: str
) -> EngineReport:
    path = target.path / plan.name
    size, parity = path.stat().st_size, entry.get("parity")
    return EngineReport(path, plan, built, size, entry["build_s"], entry["layers"], parity, unproven)


def _provenance(target: ModelFolder, plan: EnginePlan, seconds: float) -> dict[str, Any]:
    """What the manifest says of an engine; the runtime reads 'target' and 'parity'."""
    return {
        "tool": "export/build_engine.py",
        **({"source_sha256": plan.weights_sha256} if plan.weights_sha256 else {}),
        "onnx_sha256": plan.onnx_sha256,
        "key": plan.key,
        "target": dataclasses.asdict(plan.target),
        "options": {**dataclasses.asdict(plan.options), "clip_length": target.config.clip_length},
        "versions": {"mdhr_sdk": __version__, plan.options.toolchain: plan.target.version},
        "device": plan.target.device or "compute capability " + ", ".join(plan.target.compute_capabilities),
        "power_mode": power_mode(),
        "build_s": round(seconds, 3),
        "parity": None,
    }


def _why_unproven(target: ModelFolder, plan: EnginePlan) -> str:
    """Why an engine cannot be compared with the weights on this machine; empty if it can."""
    if cuda_device_count() == 0:
        return "this machine has no CUDA device to run it on"
    if reason := memory_obstacle() or foreign(dataclasses.asdict(plan.target), plan.options.chain, 0):
        return reason
    return reference_obstacle(target, plan.options.graph)


def _prove(target: ModelFolder, plan: EnginePlan, part: Path, made: dict[str, Any]) -> None:
    """Compare with the weights, or what stands for them, and note the figures in `made`.

    Raises:
        ExportError: they differ too much.
    """
    options = plan.options
    # as `mdhr verify`: the ranges of int8 were measured on faces
    clips = demo_clips(target.config) if options.precision == "int8" else None
    judge = Judge(target.config, open_reference(target), clips)
    session_options = SessionOptions("cuda", precision=options.precision)
    judge.gate(TensorRTSession(options.chain, target, options.graph, session_options, part), options.graph, made)


def _layer_report(plan: EnginePlan, built: BuiltEngine) -> dict[str, Any]:
    """Of the engine where it can be loaded, else of the network it was built from."""
    layers = inspect_engine(plan.options.chain.load(), built.content) if cuda_device_count() else None
    if layers is None:
        return {"of": "the network, before TensorRT merged its layers", "layers": built.layers}
    return {"of": "the engine", "layers": layers}


def _timing_cache(target: ModelFolder) -> bytes:
    if not target.has(TIMING_CACHE):
        return b""
    try:
        return target.read(TIMING_CACHE)
    except ModelFolderError as error:
        log.warning("the timing cache starts anew: %s", error)
        return b""


def _keep_timing_cache(target: ModelFolder, plan: EnginePlan, built: BuiltEngine) -> None:
    if built.timing_cache:
        made = {"tool": "export/build_engine.py", "target": dataclasses.asdict(plan.target)}
        with target.writing(TIMING_CACHE, made) as part:
            part.write_bytes(built.timing_cache)
