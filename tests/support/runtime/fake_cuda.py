"""A CUDA machine without one: its driver and cuda-bindings over host memory; `fake_pycuda` has pycuda.

A stream runs nothing before it is waited for, memory that is freed or was never written holds garbage, and whoever
touches memory that is not live is stopped. So a missing wait, a copy too early and a buffer freed too soon all show.
"""
# ruff: noqa: N802, N815

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

GARBAGE = 0xFF  # floats of it are NaN
Memory = dict[int, np.ndarray]  # by address
Works = dict[int, list[Callable[[], None]]]  # what streams, recordings and graphs hold, by handle


class CudaError(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidDevice = 101
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class FakeCuda:
    """The machine; what CUDA calls by name answers as there, or with an error.

    Attributes:
        devices: (name, compute capability) of each.
        log: what was asked of it, in order.
        fail: function name -> error of its next call.
        free_bytes: memory of every device that nobody uses; 0: the driver refuses to say.
        integrated: whether the devices share the host's memory.
        pools: whether they can allocate in a stream's order.
        broken: streams whose recording has become invalid.
        multiprocessors, total_bytes: of every device.
    """

    def __init__(self, *devices: tuple[str, str]) -> None:
        self.devices = list(devices)
        self.free_bytes = 3 << 30
        self.integrated, self.pools = False, True
        self.multiprocessors, self.total_bytes = 8, int(7.4 * 2**30)
        self.log: list[str] = []
        self.fail: dict[str, CudaError] = {}
        self.current: int | None = None
        self.live, self.pinned = Memory(), Memory()
        self.streams, self.recording, self.graphs, self.runnable = Works(), Works(), Works(), Works()
        self.broken: set[int] = set()
        self._numbers = itertools.count(1000)
        self._graveyard: list[np.ndarray] = []

    @property
    def left(self) -> int:
        """How much is not freed."""
        return sum(map(len, (self.live, self.pinned, self.streams, self.graphs, self.runnable)))

    def allocate(self, where: Memory, size: int) -> int:
        memory = np.full(size, GARBAGE, np.uint8)
        where[memory.ctypes.data] = memory
        return int(memory.ctypes.data)

    def release(self, where: Memory, address: int) -> None:
        assert address in where, "freed twice, or never allocated"
        where[address][:] = GARBAGE
        self._graveyard.append(where.pop(address))  # kept, so that no new memory gets the old address

    def span(self, where: Memory, address: int, size: int) -> np.ndarray:
        """The bytes at an address, which must be live."""
        for start, memory in where.items():
            if start <= address and address + size <= start + memory.size:
                return memory[address - start : address - start + size]
        raise AssertionError("memory that is freed, too small or of the other side")

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        assert stream in self.streams, "a stream that is destroyed"
        self.recording.get(stream, self.streams[stream]).append(work)

    def hold(self, where: Works, works: list[Callable[[], None]]) -> int:
        handle = next(self._numbers)
        where[handle] = works
        return handle

    def cudaSetDevice(self, index: int) -> Any:
        if index >= len(self.devices):
            return CudaError.cudaErrorInvalidDevice
        self.current = index
        return None

    def cudaStreamCreateWithFlags(self, flags: int) -> int:
        assert flags == 1, "a stream that waits for the default stream"
        return self.hold(self.streams, [])

    def cudaStreamDestroy(self, stream: int) -> None:
        del self.streams[stream]

    def cudaHostAlloc(self, size: int, flags: int) -> int:
        assert flags == 2, "memory that no integrated device may use"
        return self.allocate(self.pinned, size)

    def cudaDeviceGetAttribute(self, attribute: int, device: int) -> int:
        assert attribute == 18 and device < len(self.devices)
        return int(self.integrated)

    def cudaHostGetDevicePointer(self, address: int, flags: int) -> int:
        assert self.integrated and address in self.pinned and flags == 0
        return address

    def on_device(self, address: int, size: int) -> np.ndarray:
        """The bytes at an address that a device uses."""
        return self.span({**self.live, **self.pinned} if self.integrated else self.live, address, size)

    def cudaFreeHost(self, address: int) -> None:
        self.release(self.pinned, address)

    def cudaMalloc(self, size: int) -> int:
        return self.allocate(self.live, size)

    def cudaFree(self, address: int) -> None:
        self.release(self.live, address)

    def cudaMemcpyAsync(self, to: int, of: int, size: int, kind: int, stream: int) -> None:
        of_side, to_side = (self.pinned, self.live) if kind == 1 else (self.live, self.pinned)
        self.span(to_side, to, size), self.span(of_side, of, size)

        def work() -> None:
            self.span(to_side, to, size)[:] = self.span(of_side, of, size)

        self.queue(stream, work)

    def cudaStreamSynchronize(self, stream: int) -> CudaError:
        assert stream in self.streams, "a stream that is destroyed"
        if stream in self.recording:
            self.broken.add(stream)
            return CudaError.cudaErrorStreamCaptureUnsupported
        queued, self.streams[stream] = self.streams[stream], []
        for work in queued:
            work()
        return CudaError.cudaSuccess

    wait = cudaStreamSynchronize

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> None:
        assert stream not in self.recording and not self.streams[stream]
        self.recording[stream] = []

    def cudaStreamEndCapture(self, stream: int) -> Any:
        recorded = self.recording.pop(stream)
        if stream in self.broken:
            self.broken.remove(stream)
            return CudaError.cudaErrorStreamCaptureInvalidated
        return self.hold(self.graphs, recorded)

    def cudaGraphInstantiate(self, graph: int, flags: int) -> int:
        return self.hold(self.runnable, self.graphs[graph])

    def cudaGraphLaunch(self, runnable: int, stream: int) -> None:
        for work in self.runnable[runnable]:
            self.queue(stream, work)

    def cudaGraphDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    def cudaGraphExecDestroy(self, runnable: int) -> None:
        del self.runnable[runnable]


class FakeRuntime(ModuleType):
    """`cuda.bindings.runtime`: every function answers (error, result ...)."""

    cudaDeviceAttr = SimpleNamespace(cudaDevAttrIntegrated=18)
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, cuda: FakeCuda, name: str = "cuda.bindings.runtime") -> None:
        super().__init__(name)
        self._cuda = cuda

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not (name.startswith("cuda") and hasattr(FakeCuda, name)):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            cuda = self._cuda
            cuda.log.append(name)
            assert cuda.current is not None or name == "cudaSetDevice", "no device was made this thread's own"
            if (error := cuda.fail.pop(name, None)) is not None:
                return (error, None)
            found = getattr(cuda, name)(*arguments)
            return (found,) if isinstance(found, CudaError) else (CudaError.cudaSuccess, found)

        return call


class FakeDriver:
    """Of libcuda, what `mdhr_sdk.runtime.cuda.devices` calls through ctypes; 0 is success."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self._cuda.devices)
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        handle._obj.value = index
        return 0 if index < len(self._cuda.devices) else 101

    def cuDeviceGetName(self, name: Any, size: int, handle: Any) -> int:
        name.value = self._cuda.devices[handle.value][0].encode()[: size - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:
        version = self._cuda.devices[handle.value][1].split(".")
        own = {115: self._cuda.pools, 16: self._cuda.multiprocessors}
        value._obj.value = own[attribute] if attribute in own else int(version[attribute - 75])
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, handle: Any) -> int:
        size._obj.value = self._cuda.total_bytes
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, handle: Any) -> int:
        context._obj.value = 1000 + handle.value
        return self._told("retain")

    def cuCtxPushCurrent_v2(self, context: Any) -> int:
        return self._told(f"push {context.value - 1000}")

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        assert self._cuda.log[-1].startswith("push"), "free memory is the current context's"
        free._obj.value, total._obj.value = self._cuda.free_bytes, 2 * self._cuda.free_bytes
        return 2 if self._cuda.free_bytes == 0 else 0

    def cuCtxPopCurrent_v2(self, context: Any) -> int:
        return self._told("pop")

    def cuDevicePrimaryCtxRelease_v2(self, handle: Any) -> int:
        return self._told("release")

    def _told(self, what: str) -> int:
        self._cuda.log.append(what)
        return 0
