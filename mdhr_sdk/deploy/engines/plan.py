"""What an engine is made from, for what and how; and whether the one in the folder is still that one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError, ExportError, ModelFolderError
from ...modelfolder.artefacts import GRAPHS, HEADS, artefact, export_command
from ...modelfolder.folder import WEIGHTS, ModelFolder
from ...runtime.cuda.devices import cuda_free_bytes, power_mode
from ...runtime.cuda.toolchains import TOOLCHAINS, EngineTarget, Toolchain

PRECISIONS = ("fp32", "fp16", "int8")
UNKNOWN_WORKSPACE_MIB = 4096  # where there is no device, or none that says what is free


@dataclass(frozen=True)
class EngineOptions:
    """How to build.

    Attributes:
        graph: one of `mdhr_sdk.modelfolder.artefacts.GRAPHS`.
        precision: 'fp32', 'fp16' or 'int8': of the ONNX graph, which says itself what is computed how.
        batch_min, batch_opt, batch_max: the batches that the engine takes, and the one it is tuned for. With all
            three the same it runs as one CUDA graph. In clips, for a clip or head graph; in frames for an encoder.
        toolchain: one of `mdhr_sdk.runtime.cuda.toolchains.TOOLCHAINS`.
        workspace_mib: most scratch memory of the device that a layer may use; None for half of what is free.
        compute_capabilities: such as ('8.6', '8.9'), of TensorRT-RTX only; empty for all that it knows from 8.0 on.
        optimization_level: 0 (built fast) to 5 (runs fast).
    """

    graph: str = "clip"
    precision: str = "fp32"
    batch_min: int = 1
    batch_opt: int = 1
    batch_max: int = 8
    toolchain: str = "tensorrt"
    workspace_mib: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    optimization_level: int = 3

    def __post_init__(self) -> None:
        for name, choices in (("graph", GRAPHS), ("precision", PRECISIONS), ("toolchain", tuple(TOOLCHAINS))):
            _check(self, name, getattr(self, name) in choices, f"one of {', '.join(choices)}")
        _check(self, "batch_min", _is_int(self.batch_min, 1), "an integer of at least 1")
        _check(self, "batch_opt", _is_int(self.batch_opt, self.batch_min), "an integer, batch_min or more")
        _check(self, "batch_max", _is_int(self.batch_max, self.batch_opt), "an integer, batch_opt or more")
        automatic = self.workspace_mib is None
        _check(self, "workspace_mib", automatic or _is_int(self.workspace_mib, 1), "an integer of at least 1")
        if self.graph in HEADS and self.precision == "int8":
            raise ExportError(f"the {self.graph} has no int8 form; build it in fp32 or fp16")
        level = self.optimization_level
        _check(self, "optimization_level", _is_int(level, 0) and level <= 5, "an integer from 0 to 5")
        wanted = self.compute_capabilities
        readable = isinstance(wanted, tuple) and all(re.fullmatch(r"\d+\.\d", str(one)) for one in wanted)
        _check(self, "compute_capabilities", readable and len(set(wanted)) == len(wanted), "such as ('8.6', '8.9')")
        if wanted and not self.chain.portable:
            raise ExportError(f"{self.chain.title} builds for the device it runs on; leave out compute_capabilities")

    @property
    def chain(self) -> Toolchain:
        """The toolchain itself."""
        return TOOLCHAINS[self.toolchain]


@dataclass(frozen=True)
class EnginePlan:
    """Everything an engine depends on; see `plan_engine`.

    Attributes:
        options: how to build.
        target: what it is bound to.
        onnx_sha256: of the graph that it is built from.
        weights_sha256: of the weights that the graph was exported from; empty if the folder does not say.
    """

    options: EngineOptions
    target: EngineTarget
    onnx_sha256: str
    weights_sha256: str

    @property
    def source(self) -> str:
        """File name of the ONNX graph."""
        return artefact(self.options.graph, self.options.precision, "onnx")

    @property
    def name(self) -> str:
        """File name of the engine."""
        return artefact(self.options.graph, self.options.precision, self.options.chain.suffix)

    @property
    def key(self) -> str:
        """SHA-256 of all fields: an engine of the same key need not be built again."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def workspace_mib(self) -> int:
        """Scratch memory for a build that begins now."""
        if self.options.workspace_mib is not None:
            return self.options.workspace_mib
        free = cuda_free_bytes() if self.target.device else None
        return UNKNOWN_WORKSPACE_MIB if free is None else max(1, free // 2 >> 20)

    def up_to_date(self, folder: ModelFolder) -> bool:
        """Whether the folder holds this very engine, undamaged, and not one that answers wrongly."""
        entry = folder.manifest.get(self.name, {})
        if entry.get("key") != self.key or (entry.get("parity") or {}).get("failure"):
            return False
        try:
            folder.read(self.name)
        except ModelFolderError:
            return False
        return True

    def lines(self) -> list[str]:
        """For people: what would be built."""
        options, target = self.options, self.target
        capabilities, share = ", ".join(target.compute_capabilities), " (half of what is free)"
        size = f", {target.multiprocessors} multiprocessors, up to {target.memory_gib} GiB" if target.device else ""
        mode = power_mode()
        return [
            f"engine     {self.name}",
            f"from       {self.source} (SHA-256 {self.onnx_sha256[:12]}...)",
            f"toolchain  {options.chain.title} {target.version} on {target.system}",
            f"for        {target.device or 'every device'} of compute capability {capabilities}{size}",
            *([f"power mode {mode} (noted; tactics are timed in it)"] if mode else []),
            f"batch      {options.batch_min} to {options.batch_max}, tuned for {options.batch_opt}",
            f"workspace  {self.workspace_mib} MiB{'' if options.workspace_mib else share}, "
            f"optimisation level {options.optimization_level}",
            f"key        {self.key}",
        ]


def plan_engine(folder: ModelFolder, options: EngineOptions) -> EnginePlan:
    """Find out what would be built; nothing is written.

    Raises:
        MissingDependencyError: the toolchain is not installed; the message says how to get it.
        BackendError: the toolchain needs a CUDA device and there is none.
        ExportError: the folder has no ONNX graph to build from, or a compute capability is unknown.
        ModelFolderError: the graph is damaged or stale.
    """
    target = find_target(options)
    source = artefact(options.graph, options.precision, "onnx")
    if not folder.has(source):
        command = export_command(folder, "onnx", options.graph, options.precision)
        raise ExportError(f"the folder has no {source} to build an engine from; make it with: {command}")
    digest = hashlib.sha256(folder.read(source)).hexdigest()
    files = folder.manifest
    weights = files.get(WEIGHTS, {}).get("sha256") or files[source].get("source_sha256", "")
    return EnginePlan(options, target, digest, weights)


def find_target(options: EngineOptions) -> EngineTarget:
    """What an engine that is built here would be bound to; raises as `plan_engine`."""
    chain = options.chain
    here = EngineTarget.here(chain)
    if chain.portable:
        known = known_capabilities(chain.load())
        unknown = [one for one in options.compute_capabilities if one not in known]
        if unknown:
            raise ExportError(
                f"{chain.title} {here.version} builds for the compute capabilities {', '.join(known)}; "
                f"got {', '.join(unknown)}"
            )
        wanted = options.compute_capabilities or tuple(one for one in known if float(one) >= 8)
        return EngineTarget(here.toolchain, here.version, "", wanted, here.system)
    if not here.device:
        raise BackendError(
            f"{chain.title} builds on the device that it builds for, and this machine has no CUDA device; run this on "
            "the device, or build for RTX GPUs from here with --toolchain rtx"
        )
    return here


def known_capabilities(trt: Any) -> dict[str, Any]:
    """'8.6' -> TensorRT-RTX's own value for it."""
    found = ((name.removeprefix("SM"), value) for name, value in trt.ComputeCapability.__members__.items())
    return {f"{name[:-1]}.{name[-1]}": value for name, value in found if name.isdigit()}


def _is_int(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check(options: EngineOptions, name: str, ok: bool, expected: str) -> None:
    if not ok:
        raise ExportError(f"{name} of an engine must be {expected}; got {getattr(options, name)!r}")
