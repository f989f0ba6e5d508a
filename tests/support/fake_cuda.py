"""A CUDA machine without one: its driver and cuda-bindings over host memory; `fake_pycuda` has pycuda.

A stream runs nothing before it is waited for, memory that is freed or was never written holds garbage, and whoever
touches memory that is not live is stopped. So a missing wait, a copy too early and a buffer freed too soon all show.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

GARBAGE = 0xFF  # floats of it are NaN


class CudaError(enum.IntEnum):
    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInvalidDevice = 101  # noqa: N815
    cudaErrorInvalidResourceHandle = 400  # noqa: N815
    cudaErrorStreamCaptureUnsupported = 900  # noqa: N815
    cudaErrorStreamCaptureInvalidated = 901  # noqa: N815


class FakeCuda:
    """The machine.

    Attributes:
        devices: (name, compute capability) of each.
        log: what was asked of it, in order.
        fail: function name -> error of its next call.
        free_bytes: memory of every device that nobody uses.
        pools: whether they can allocate in a stream's order.
        multiprocessors, total_bytes: of every device.
    """

    def __init__(self, *devices: tuple[str, str]) -> None:
        self.devices = list(devices)
        self.free_bytes = 3 << 30  # 0: the driver refuses to say
        self.pools = True
        self.multiprocessors, self.total_bytes = 8, int(7.4 * 2**30)
        self.log: list[str] = []
        self.fail: dict[str, CudaError] = {}
        self.current: int | None = None
        self.live: dict[int, np.ndarray] = {}
        self.pinned: dict[int, np.ndarray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.recording: dict[int, list[Callable[[], None]]] = {}
        self.broken: set[int] = set()  # streams whose capture has become invalid
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.runnable: dict[int, list[Callable[[], None]]] = {}
        self._numbers = itertools.count(1000)
        self._graveyard: list[np.ndarray] = []

    @property
    def left(self) -> int:
        """How much is not freed."""
        return sum(map(len, (self.live, self.pinned, self.streams, self.graphs, self.runnable)))

    def number(self) -> int:
        return next(self._numbers)

    def allocate(self, where: dict[int, np.ndarray], size: int) -> int:
        memory = np.full(size, GARBAGE, np.uint8)
        where[memory.ctypes.data] = memory
        return int(memory.ctypes.data)

    def release(self, where: dict[int, np.ndarray], address: int) -> None:
        assert address in where, "freed twice, or never allocated"
        where[address][:] = GARBAGE
        self._graveyard.append(where.pop(address))  # kept, so that no new memory gets the old address

    def span(self, where: dict[int, np.ndarray], address: int, size: int) -> np.ndarray:
        """The bytes at an address, which must be live."""
        for start, memory in where.items():
            if start <= address and address + size <= start + memory.size:
                return memory[address - start : address - start + size]
        raise AssertionError("memory that is freed, too small or of the other side")

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        assert stream in self.streams, "a stream that is destroyed"
        self.recording.get(stream, self.streams[stream]).append(work)

    def copy(
        self, stream: int, to: tuple[dict[int, np.ndarray], int], of: tuple[dict[int, np.ndarray], int], size: int
    ):
        self.span(*to, size), self.span(*of, size)

        def work() -> None:
            self.span(*to, size)[:] = self.span(*of, size)

        self.queue(stream, work)

    def wait(self, stream: int) -> CudaError:
        assert stream in self.streams, "a stream that is destroyed"
        if stream in self.recording:
            self.broken.add(stream)
            return CudaError.cudaErrorStreamCaptureUnsupported
        queued, self.streams[stream] = self.streams[stream], []
        for work in queued:
            work()
        return CudaError.cudaSuccess


class FakeDriver:
    """Of libcuda, what `mdhr_sdk.runtime.cuda.devices` calls through ctypes."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._cuda.devices)
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:  # noqa: N802
        handle._obj.value = index
        return 0 if index < len(self._cuda.devices) else 101

    def cuDeviceGetName(self, name: Any, size: int, handle: Any) -> int:  # noqa: N802
        name.value = self._cuda.devices[handle.value][0].encode()[: size - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:  # noqa: N802
        version = self._cuda.devices[handle.value][1].split(".")
        own = {115: self._cuda.pools, 16: self._cuda.multiprocessors}
        value._obj.value = own[attribute] if attribute in own else int(version[attribute - 75])
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, handle: Any) -> int:  # noqa: N802
        size._obj.value = self._cuda.total_bytes
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, handle: Any) -> int:  # noqa: N802
        self._cuda.log.append("retain")
        context._obj.value = 1000 + handle.value
        return 0

    def cuCtxPushCurrent_v2(self, context: Any) -> int:  # noqa: N802
        self._cuda.log.append(f"push {context.value - 1000}")
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:  # noqa: N802
        assert self._cuda.log[-1].startswith("push"), "free memory is the current context's"
        free._obj.value, total._obj.value = self._cuda.free_bytes, 2 * self._cuda.free_bytes
        return 2 if self._cuda.free_bytes == 0 else 0

    def cuCtxPopCurrent_v2(self, context: Any) -> int:  # noqa: N802
        self._cuda.log.append("pop")
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, handle: Any) -> int:  # noqa: N802
        self._cuda.log.append("release")
        return 0


class FakeRuntime(ModuleType):
    """`cuda.bindings.runtime`: every function answers (error, result ...)."""

    class cudaMemcpyKind(enum.IntEnum):  # noqa: N801
        cudaMemcpyHostToDevice = 1  # noqa: N815
        cudaMemcpyDeviceToHost = 2  # noqa: N815

    class cudaStreamCaptureMode(enum.IntEnum):  # noqa: N801
        cudaStreamCaptureModeThreadLocal = 1  # noqa: N815

    def __init__(self, cuda: FakeCuda, name: str = "cuda.bindings.runtime") -> None:
        super().__init__(name)
        self._cuda = cuda

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cuda") or not hasattr(type(self), f"_{name}"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            cuda = self._cuda
            cuda.log.append(name)
            assert cuda.current is not None or name == "cudaSetDevice", "no device was made this thread's own"
            if (error := cuda.fail.pop(name, None)) is not None:
                return (error, None)
            found = getattr(self, f"_{name}")(*arguments)
            return (found,) if isinstance(found, CudaError) else (CudaError.cudaSuccess, found)

        return call

    def _cudaSetDevice(self, index: int) -> Any:  # noqa: N802
        if index >= len(self._cuda.devices):
            return CudaError.cudaErrorInvalidDevice
        self._cuda.current = index
        return None

    def _cudaStreamCreateWithFlags(self, flags: int) -> int:  # noqa: N802
        assert flags == 1, "a stream that waits for the default stream"
        handle = self._cuda.number()
        self._cuda.streams[handle] = []
        return handle

    def _cudaStreamDestroy(self, stream: int) -> None:  # noqa: N802
        del self._cuda.streams[stream]

    def _cudaHostAlloc(self, size: int, flags: int) -> int:  # noqa: N802
        return self._cuda.allocate(self._cuda.pinned, size)

    def _cudaFreeHost(self, address: int) -> None:  # noqa: N802
        self._cuda.release(self._cuda.pinned, address)

    def _cudaMalloc(self, size: int) -> int:  # noqa: N802
        return self._cuda.allocate(self._cuda.live, size)

    def _cudaFree(self, address: int) -> None:  # noqa: N802
        self._cuda.release(self._cuda.live, address)

    def _cudaMemcpyAsync(self, to: int, of: int, size: int, kind: int, stream: int) -> None:  # noqa: N802
        sides = (self._cuda.live, self._cuda.pinned)
        down = kind == self.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.copy(stream, (sides[down], to), (sides[not down], of), size)

    def _cudaStreamSynchronize(self, stream: int) -> CudaError:  # noqa: N802
        return self._cuda.wait(stream)

    def _cudaStreamBeginCapture(self, stream: int, mode: int) -> None:  # noqa: N802
        assert stream not in self._cuda.recording and not self._cuda.streams[stream]
        self._cuda.recording[stream] = []

    def _cudaStreamEndCapture(self, stream: int) -> Any:  # noqa: N802
        recorded = self._cuda.recording.pop(stream)
        if stream in self._cuda.broken:
            self._cuda.broken.remove(stream)
            return CudaError.cudaErrorStreamCaptureInvalidated
        handle = self._cuda.number()
        self._cuda.graphs[handle] = recorded
        return handle

    def _cudaGraphInstantiate(self, graph: int, flags: int) -> int:  # noqa: N802
        handle = self._cuda.number()
        self._cuda.runnable[handle] = self._cuda.graphs[graph]
        return handle

    def _cudaGraphLaunch(self, runnable: int, stream: int) -> None:  # noqa: N802
        for work in self._cuda.runnable[runnable]:
            self._cuda.queue(stream, work)

    def _cudaGraphDestroy(self, graph: int) -> None:  # noqa: N802
        del self._cuda.graphs[graph]

    def _cudaGraphExecDestroy(self, runnable: int) -> None:  # noqa: N802
        del self._cuda.runnable[runnable]
