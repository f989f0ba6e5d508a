"""`pycuda.driver` over a fake CUDA machine."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from fake_cuda import FakeCuda


class FakePyCuda(ModuleType):
    """`pycuda.driver`; without `graphs` what an older JetPack has."""

    class Error(Exception):
        """Base of pycuda's own errors."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("pycuda.driver")
        self._cuda = cuda
        self.pushed = 0
        self.detached = 0
        self.graphs = True

    def init(self) -> None:
        pass

    def Device(self, index: int) -> Any:  # noqa: N802
        if index >= len(self._cuda.devices):
            raise self.Error("cuDeviceGet failed: invalid device ordinal")
        return _PyCudaContext(self)

    def Stream(self) -> Any:  # noqa: N802
        return (_PyCudaGraphStream if self.graphs else _PyCudaStream)(self)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        assert self.pushed
        return _pinned(self._cuda, shape, np.dtype(dtype))

    def mem_alloc(self, size: int) -> Any:
        assert self.pushed
        if "mem_alloc" in self._cuda.fail:
            raise self.Error("cuMemAlloc failed: out of memory")
        return _PyCudaAllocation(self._cuda, self._cuda.allocate(self._cuda.live, size))

    def memcpy_htod_async(self, to: int, of: np.ndarray, stream: Any) -> None:
        assert self.pushed
        sides = ((self._cuda.live, to), (self._cuda.pinned, of.ctypes.data))
        self._cuda.copy(stream.handle, *sides, of.nbytes)

    def memcpy_dtoh_async(self, to: np.ndarray, of: int, stream: Any) -> None:
        assert self.pushed
        sides = ((self._cuda.pinned, to.ctypes.data), (self._cuda.live, of))
        self._cuda.copy(stream.handle, *sides, to.nbytes)


class _PyCudaContext:
    def __init__(self, driver: FakePyCuda) -> None:
        self._driver = driver

    def retain_primary_context(self) -> _PyCudaContext:
        return self

    def push(self) -> None:
        self._driver.pushed += 1

    def pop(self) -> None:
        self._driver.pushed -= 1

    def detach(self) -> None:
        self._driver.detached += 1


class _PyCudaStream:
    def __init__(self, driver: FakePyCuda) -> None:
        assert driver.pushed
        self._cuda, self._error = driver._cuda, driver.Error
        self.handle = self._cuda.number()
        self._cuda.streams[self.handle] = []

    def synchronize(self) -> None:
        if error := self._cuda.wait(self.handle):
            raise self._error(f"cuStreamSynchronize failed: {error.name}")

    def __del__(self) -> None:
        self._cuda.streams.pop(self.handle, None)


class _PyCudaGraphStream(_PyCudaStream):
    def begin_capture(self) -> None:
        if self.handle in self._cuda.recording:
            raise self._error("cuStreamBeginCapture failed: stream is capturing")
        assert not self._cuda.streams[self.handle]
        self._cuda.recording[self.handle] = []

    def end_capture(self) -> _PyCudaGraph:
        if self.handle not in self._cuda.recording:
            raise self._error("cuStreamEndCapture failed: stream is not capturing")
        recorded = self._cuda.recording.pop(self.handle)
        if self.handle in self._cuda.broken:
            self._cuda.broken.remove(self.handle)
            raise self._error("cuStreamEndCapture failed: cudaErrorStreamCaptureInvalidated")
        return _PyCudaGraph(self._cuda, recorded)


class _PyCudaGraph:
    """Also what it is instantiated to: both are freed with their Python objects."""

    def __init__(self, cuda: FakeCuda, recorded: list[Callable[[], None]]) -> None:
        self._cuda, self._recorded = cuda, recorded

    def instantiate(self) -> _PyCudaGraph:
        return self

    def launch(self, stream: _PyCudaStream) -> None:
        for work in self._recorded:
            self._cuda.queue(stream.handle, work)


class _PyCudaAllocation:
    def __init__(self, cuda: FakeCuda, address: int) -> None:
        self._cuda, self._address = cuda, address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._cuda.release(self._cuda.live, self._address)


def _pinned(cuda: FakeCuda, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    address = cuda.allocate(cuda.pinned, size)

    class Allocation(ctypes.c_byte * size):  # type: ignore[misc]
        def free(self) -> None:
            cuda.release(cuda.pinned, address)

    return np.ndarray(shape, dtype, Allocation.from_address(address))  # type: ignore[attr-defined]
