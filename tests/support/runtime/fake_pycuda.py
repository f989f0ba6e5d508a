"""`pycuda.driver` over a fake CUDA machine."""
# ruff: noqa: N802

from __future__ import annotations

import ctypes
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from fake_cuda import FakeCuda, FakeRuntime


class FakePyCuda(ModuleType):
    """`pycuda.driver`; without `graphs` what an older JetPack has."""

    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    device_attribute = SimpleNamespace(INTEGRATED=18)

    class Error(Exception):
        """Base of pycuda's own errors."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("pycuda.driver")
        self.cuda, self._runtime = cuda, FakeRuntime(cuda)
        self.pushed = 0
        self.graphs = True

    def call(self, name: str, *arguments: Any) -> Any:
        """A function of the machine, as pycuda calls it: in a context that was pushed."""
        assert self.pushed, "no context was made current"
        self.cuda.current = 0
        error, *found = getattr(self._runtime, name)(*arguments)
        if error:
            raise self.Error(f"{name} failed: {error.name}")
        return found[0] if found else None

    def init(self) -> None:
        pass

    def Device(self, index: int) -> Any:
        if index >= len(self.cuda.devices):
            raise self.Error("cuDeviceGet failed: invalid device ordinal")

        def push(change: int) -> None:
            self.pushed += change

        context = SimpleNamespace(push=lambda: push(1), pop=lambda: push(-1), detach=lambda: None)
        attribute = lambda which: self.call("cudaDeviceGetAttribute", which, index)  # noqa: E731
        return SimpleNamespace(retain_primary_context=lambda: context, get_attribute=attribute)

    def Stream(self) -> _Stream:
        return _Stream(self)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, mem_flags: int = 0) -> np.ndarray:
        cuda, size = self.cuda, int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self.call("cudaHostAlloc", size, mem_flags)

        class Allocation(ctypes.c_byte * size):
            def get_device_pointer(self) -> int:
                return cuda.cudaHostGetDevicePointer(address, 0)

            def free(self) -> None:
                cuda.cudaFreeHost(address)

        return np.ndarray(shape, dtype, Allocation.from_address(address))

    def mem_alloc(self, size: int) -> _Allocation:
        allocation = _Allocation(self.call("cudaMalloc", size))
        allocation.free = lambda: self.cuda.cudaFree(int(allocation))
        return allocation

    def memcpy_htod_async(self, to: int, of: np.ndarray, stream: _Stream) -> None:
        self.call("cudaMemcpyAsync", to, of.ctypes.data, of.nbytes, 1, stream.handle)

    def memcpy_dtoh_async(self, to: np.ndarray, of: int, stream: _Stream) -> None:
        self.call("cudaMemcpyAsync", to.ctypes.data, of, to.nbytes, 2, stream.handle)


class _Allocation(int):
    free: Any


class _Stream:
    def __init__(self, driver: FakePyCuda) -> None:
        self._driver, self.handle = driver, driver.call("cudaStreamCreateWithFlags", 1)

    def synchronize(self) -> None:
        self._driver.call("cudaStreamSynchronize", self.handle)

    @property
    def begin_capture(self) -> Any:
        if not self._driver.graphs:
            raise AttributeError("begin_capture")
        return lambda: self._driver.call("cudaStreamBeginCapture", self.handle, 1)

    def end_capture(self) -> Any:
        """A graph, which is also what it is instantiated to: both are freed with their Python objects."""
        cuda = self._driver.cuda
        recorded = cuda.graphs.pop(self._driver.call("cudaStreamEndCapture", self.handle))

        def launch(stream: _Stream) -> None:
            for work in recorded:
                cuda.queue(stream.handle, work)

        return SimpleNamespace(instantiate=lambda: SimpleNamespace(launch=launch))

    def __del__(self) -> None:
        self._driver.cuda.streams.pop(self.handle, None)
