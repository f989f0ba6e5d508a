"""TensorRT and TensorRT-RTX: engines on a CUDA device. Never touches PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...ending import at_work
from ...errors import BackendError, InputError, ModelFolderError
from ...modelfolder.artefacts import artefact, no_artefact
from ...modelfolder.folder import ModelFolder
from ..cuda.devices import device_number, no_device
from ..cuda.memory import memory_obstacle, open_memory
from ..cuda.tensorrt_engine import Engine
from ..cuda.toolchains import TOOLCHAINS, Toolchain, foreign
from ..session import Arrays, Part, Session, SessionOptions, check_inputs, check_kept, graph_specs, joined
from .backend import Backend


@dataclass(frozen=True)
class TensorRTBackend(Backend):
    """Engines of one kind of TensorRT, on the device that they were built for."""

    chain: Toolchain

    def obstacle(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        """The machine comes first here: an engine can only be built where it can run."""
        return self.unfit(options) or self.no_file(folder, graph, options)

    def no_file(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        name = artefact(graph, options.precision, self.chain.suffix)
        if reason := no_artefact(folder, name, build_command(folder, self.chain, graph, options.precision)):
            return reason
        if reason := self._foreign(folder, graph, options):
            return reason
        if not folder.manifest.get(name, {}).get("parity") and not options.unproven:
            return f"{name} was never compared with the weights (mdhr verify {folder.path}, or name the backend)"
        return None

    def open_graph(self, folder: ModelFolder, graph: str, options: SessionOptions) -> TensorRTSession:
        """Load an engine onto the device."""
        if reason := self.unfit(options) or self._foreign(folder, graph, options):
            raise BackendError(reason)
        return TensorRTSession(self.chain, folder, graph, options)

    def unfit(self, options: SessionOptions) -> str | None:
        return self.chain.missing() or no_device(options.device) or memory_obstacle()

    def _foreign(self, folder: ModelFolder, graph: str, options: SessionOptions) -> str | None:
        """Why the engine is of another machine; None if it is of this one."""
        name = artefact(graph, options.precision, self.chain.suffix)
        made = folder.manifest.get(name, {}).get("target") or {}
        reason = foreign(made, self.chain, device_number(options.device))
        build = build_command(folder, self.chain, graph, options.precision)
        return reason and f"{name} cannot run here: {reason} ({build})"


TENSORRT, TENSORRT_RTX = (
    TensorRTBackend(chain.backend, ("cuda",), ("fp32", "fp16", "int8"), chain.suffix, auto=True, chain=chain)
    for chain in TOOLCHAINS.values()
)


class TensorRTSession(Session):
    """An engine; T is the folder's clip length.

    Batches beyond the engine's largest run in parts; one below its smallest, or the last part, is filled up with
    copies of its last row, which are dropped again. Where the engine has one batch only, everything from upload to
    download is one CUDA graph from the second run on.

    Attributes:
        batch: the smallest, the optimal and the largest batch that the engine takes at once.
    """

    keeps_outputs = True

    def __init__(
        self, chain: Toolchain, folder: ModelFolder, graph: str, options: SessionOptions, path: Path | None = None
    ) -> None:
        """`path` is an engine to check before it becomes the folder's; without it the folder's own, verified, is read.

        Raises:
            ModelFolderError: the engine is not one, or has other inputs or outputs than the graph.
            BackendError: the device or its memory cannot be used.
        """
        name = artefact(graph, options.precision, chain.suffix)
        self.backend, self.device, self.precision = chain.backend, options.device, options.precision
        self.inputs, self.outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        content = path.read_bytes() if path else folder.read(name)
        self._memory = open_memory(device_number(options.device))
        self._engine: Engine | None = None
        try:
            with self._memory.active():
                self._engine = Engine(chain, content, self._memory, str(folder.path / name))
                self._check_graph(self._engine, name)
                self.batch = self._engine.allocate(self.inputs, self.outputs)
        except BaseException:
            self.close()
            raise

    @at_work()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        parts = [part.arrays for part in self.run_kept(inputs, ())]
        return parts[0] if len(parts) == 1 else joined(parts)

    def run_kept(self, inputs: Arrays, kept: Collection[str]) -> Iterator[Part]:
        """See `Session`: a part is a batch of the engine."""
        if self._engine is None:
            raise InputError("this session is closed; open a new one")
        check_inputs(self.inputs, inputs)
        total, least, most = len(inputs[self.inputs[0].name]), self.batch[0], self.batch[-1]
        check_kept(self.outputs, kept)
        self._engine.keep(kept)
        for start in range(0, total, most):
            rows = slice(start, min(start + most, total))
            yield self._run_part(self._engine, inputs, rows, max(rows.stop - start, least), kept)

    def _run_part(self, engine: Engine, inputs: Arrays, rows: slice, batch: int, kept: Collection[str]) -> Part:
        count = rows.stop - rows.start
        with self._memory.active():
            for name, pinned in engine.inputs.items():
                pinned[:count] = inputs[name][rows]
                pinned[count:batch] = pinned[count - 1]
            engine.execute(batch)
        arrays = {name: array[:count].copy() for name, array in engine.outputs.items() if name not in kept}
        return Part(rows, arrays, {name: engine.on_device(name, count) for name in kept})

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with contextlib.suppress(BackendError), self._memory.active():
                engine.close()
        self._memory.close()

    def _check_graph(self, engine: Engine, file: str) -> None:
        for kind, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            wanted = {spec.name: (spec.dtype, spec.shape[1:]) for spec in specs}
            has = {spec.name: (spec.dtype, spec.shape[1:]) for spec in engine.specs[kind]}
            if wanted != has:
                raise ModelFolderError(f"{file} must have the {kind} {wanted}; it has {has}; build it again")


def build_command(folder: ModelFolder, chain: Toolchain, graph: str, precision: str) -> str:
    """What a person types to make an engine."""
    words = f"python export/build_engine.py {folder.path} --graph {graph} --precision {precision}"
    return words if chain.name == "tensorrt" else f"{words} --toolchain {chain.name}"
