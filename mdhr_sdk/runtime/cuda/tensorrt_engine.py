"""One engine on one device: its context, its buffers, and how a batch goes through it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...ops import DeviceArray
from ..session import TensorSpec
from .memory import DeviceMemory
from .toolchains import Toolchain, last_error, trt_logger

log = logging.getLogger("mdhr_sdk.tensorrt")


class Engine:
    """A deserialised engine with an execution context; every method but `close` runs inside `memory.active()`.

    Attributes:
        specs: 'inputs' and 'outputs' as the engine has them, -1 axes as None.
        inputs: name -> pinned array of the largest batch, to be filled before `execute`.
        outputs: name -> pinned array of the largest batch, valid until the next `execute`.
    """

    def __init__(self, chain: Toolchain, content: bytes, memory: DeviceMemory, file: str) -> None:
        """Deserialise.

        Raises:
            BackendError: this TensorRT cannot load the bytes on this device.
        """
        self._trt, self._memory, self._title = chain.load(), memory, chain.title
        self._captures_itself = chain.captures_itself
        self._logger = trt_logger(self._trt)
        self._logger.errors.clear()
        self._runtime: Any = self._trt.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            reason = last_error(self._logger, "no reason given")
            raise BackendError(f"{chain.title} cannot load '{file}' here: {reason}; build it again on this device")
        self._context: Any = self._new_context()
        self.specs = {"inputs": self._specs(self._trt.TensorIOMode.INPUT)}
        self.specs["outputs"] = self._specs(self._trt.TensorIOMode.OUTPUT)
        self.inputs: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, NDArray[Any]] = {}
        self._addresses: dict[str, int] = {}
        self._copied: set[str] = set()  # tensors whose memory on the device is another
        self._kept: frozenset[str] = frozenset()
        self._batch = 0
        self._static = False
        self._replay: Callable[[], None] | None = None

    def allocate(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> tuple[int, int, int]:
        """Make the buffers of the largest batch; returns the smallest, the optimal and the largest."""
        shapes = self._engine.get_tensor_profile_shape(inputs[0].name, 0)
        least, best, most = (int(shape[0]) for shape in shapes)
        self._static = least == most
        for specs, pinned in ((inputs, self.inputs), (outputs, self.outputs)):
            for spec in specs:
                array = self._memory.host((most, *(n or 0 for n in spec.shape[1:])), spec.dtype)
                pinned[spec.name], address = array, self._memory.mapped(array)
                if address is None:
                    self._copied.add(spec.name)
                    address = self._memory.device(array.nbytes)
                self._addresses[spec.name] = address
                self._done(
                    self._context.set_tensor_address(spec.name, self._addresses[spec.name]),
                    f"set_tensor_address of '{spec.name}'",
                )
        return least, best, most

    def keep(self, names: Collection[str]) -> None:
        """From now on, leave these outputs on the device: `execute` does not bring them down."""
        if self._kept != frozenset(names):
            self._kept = frozenset(names)
            self._batch, self._replay = 0, None  # a graph holds the copies that it was made with

    def on_device(self, name: str, batch: int) -> DeviceArray:
        """The first rows of an output where TensorRT wrote them, valid until the next `execute`."""
        array = self.outputs[name]
        return DeviceArray(
            self._addresses[name], (batch, *array.shape[1:]), array.dtype.name, device=self._memory.number
        )

    def execute(self, batch: int) -> None:
        """Run the first `batch` rows of `inputs` into `outputs`, and wait.

        Raises:
            BackendError: TensorRT or CUDA refuses.
        """
        if self._replay is not None:
            self._replay()
            self._memory.synchronize()
            return
        first = batch != self._batch
        if first:
            self._set_batch(batch)
        self._enqueue()
        self._memory.synchronize()
        # The first run after a new shape finishes what TensorRT put off until then, which no graph may hold.
        if first and self._static and not self._captures_itself:
            self._capture()

    def close(self) -> None:
        """Let go of the context, the engine and the runtime, in this order; may be called twice."""
        self._replay = self._context = self._engine = self._runtime = None
        self.inputs, self.outputs = {}, {}

    def _new_context(self) -> Any:
        if self._captures_itself:  # it compiles for each shape as it runs, and knows when to capture
            config = self._engine.create_runtime_config()
            config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context = self._engine.create_execution_context(runtime_config=config)
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise BackendError(f"{self._title} has no memory to run this engine: {last_error(self._logger, 'unknown')}")
        return context

    def _specs(self, mode: Any) -> tuple[TensorSpec, ...]:
        engine, found = self._engine, []
        for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
            if engine.get_tensor_mode(name) == mode:
                shape = tuple(None if n == -1 else int(n) for n in engine.get_tensor_shape(name))
                try:
                    dtype = np.dtype(self._trt.nptype(engine.get_tensor_dtype(name))).name
                except TypeError:  # bfloat16 and smaller, which NumPy does not have
                    dtype = str(engine.get_tensor_dtype(name))
                found.append(TensorSpec(name, dtype, shape))
        return tuple(found)

    def _set_batch(self, batch: int) -> None:
        for name, array in self.inputs.items():
            shape = (batch, *array.shape[1:])
            self._done(self._context.set_input_shape(name, shape), f"the shape {shape} of '{name}'")
        for name, array in self.outputs.items():
            shape, wanted = tuple(self._context.get_tensor_shape(name)), (batch, *array.shape[1:])
            if shape != wanted:
                raise BackendError(f"the engine gives '{name}' the shape {shape} instead of {wanted}; build it again")
        self._batch = batch

    def _enqueue(self) -> None:
        batch = self._batch
        for name in self._copied & self.inputs.keys():
            self._memory.upload(self._addresses[name], self.inputs[name][:batch])
        self._done(self._context.execute_async_v3(self._memory.stream), "execute_async_v3")
        for name in self._copied & self.outputs.keys() - self._kept:
            self._memory.download(self.outputs[name][:batch], self._addresses[name])

    def _capture(self) -> None:
        try:
            self._replay = self._memory.capture(self._enqueue)
        except BackendError as error:
            log.warning("no CUDA graph, every run is queued anew: %s", error)

    def _done(self, ok: bool, what: str) -> None:
        if not ok:
            raise BackendError(f"{self._title} refused {what}: {last_error(self._logger, 'no reason given')}")
