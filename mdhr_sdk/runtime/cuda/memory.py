"""Memory of a CUDA device, pinned host arrays and one stream: through cuda-bindings, or pycuda where that is there."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import BackendError, install_hint
from .pycuda import PyCuda

HINTS = {
    "cudaErrorInsufficientDriver": "; the driver is older than this cuda-bindings (on JetPack 6: pip install "
    "'cuda-bindings==12.*')"
}
MAPPED = 2  # cudaHostAllocMapped: an integrated GPU may use the memory as its own
LAYOUTS = ("cuda.bindings.runtime", "cuda.cudart")  # of cuda-bindings: from 12.6 on, and before


def memory_obstacle() -> str | None:
    """Why device memory cannot be managed here, with the remedy; None if it can."""
    if _find(*LAYOUTS) or _find("pycuda.driver"):
        return None
    return f"neither the package 'cuda-bindings' nor 'pycuda' is installed; {install_hint('tensorrt')}"


def open_memory(index: int) -> DeviceMemory:
    """Memory and a stream of a CUDA device, counted from 0.

    Raises:
        BackendError: no package to do it with, no such device, or the driver refuses.
    """
    if runtime := _find(*LAYOUTS):
        return CudaBindings(runtime, index)
    if driver := _find("pycuda.driver"):
        return PyCuda(driver, index)
    raise BackendError(str(memory_obstacle()))


class CudaBindings:
    """`DeviceMemory` through NVIDIA's cuda-bindings.

    Attributes:
        number: the device's, from 0.
        stream: the stream's handle, as TensorRT takes it.
    """

    def __init__(self, runtime: Any, index: int) -> None:
        self._runtime = runtime
        self.number = index
        self._held: list[tuple[str, Any]] = []  # function that frees it, handle
        self._release = weakref.finalize(self, _free_all, runtime, index, self._held)
        with self.active():
            self._stream = self._hold("cudaStreamDestroy", self._call("cudaStreamCreateWithFlags", 1))  # non-blocking
        self.stream = int(self._stream)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """The device is this thread's own inside; CUDA errors leave as BackendError."""
        self._call("cudaSetDevice", self.number)
        yield

    def host(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An uninitialised array in pinned memory; not to be used after `close`."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self._hold("cudaFreeHost", self._call("cudaHostAlloc", size, MAPPED))
        memory = (ctypes.c_byte * size).from_address(int(address))
        return np.frombuffer(memoryview(memory), dtype).reshape(shape)

    def mapped(self, array: NDArray[Any]) -> int | None:
        """Where the device itself reads and writes a pinned array; None where it has memory of its own.

        An integrated GPU, as a Jetson's, shares the host's memory: nothing needs to be copied.
        """
        integrated = self._runtime.cudaDeviceAttr.cudaDevAttrIntegrated
        if not self._call("cudaDeviceGetAttribute", integrated, self.number):
            return None
        return int(self._call("cudaHostGetDevicePointer", array.ctypes.data, 0))

    def device(self, size_bytes: int) -> int:
        """Address of new device memory."""
        return int(self._hold("cudaFree", self._call("cudaMalloc", size_bytes)))

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy to the device; `array` is contiguous and pinned."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Queue a copy to the host; `array` is contiguous and pinned."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self._stream)

    def synchronize(self) -> None:
        """Wait for all that was queued."""
        self._call("cudaStreamSynchronize", self._stream)

    def capture(self, record: Callable[[], None]) -> Callable[[], None]:
        """What `record` queues, as a CUDA graph: not run now; the answer queues it.

        Raises:
            BackendError: something in it cannot be captured.
        """
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            record()
        except BaseException:
            error, *graph = self._runtime.cudaStreamEndCapture(self._stream)  # the stream is usable again
            if int(error) == 0:
                self._hold("cudaGraphDestroy", graph[0])
            raise
        graph = self._hold("cudaGraphDestroy", self._call("cudaStreamEndCapture", self._stream))
        runnable = self._hold("cudaGraphExecDestroy", self._call("cudaGraphInstantiate", graph, 0))
        return lambda: self._call("cudaGraphLaunch", runnable, self._stream)

    def close(self) -> None:
        """Free everything; may be called twice."""
        self._release()

    def _hold(self, free: str, handle: Any) -> Any:
        self._held.append((free, handle))
        return handle

    def _call(self, name: str, *arguments: Any) -> Any:
        if not self._release.alive:
            raise BackendError(f"{name} was called after the device memory was closed")
        error, *found = getattr(self._runtime, name)(*arguments)
        if int(error) != 0:
            code = getattr(error, "name", str(error))
            raise BackendError(f"CUDA: {name} failed: {code}{HINTS.get(code, '')}")
        return found[0] if found else None


# One device, one stream of it, and what was allocated. Every method but `close` belongs into `active()`.
DeviceMemory = CudaBindings | PyCuda


def _free_all(runtime: Any, index: int, held: list[tuple[str, Any]]) -> None:
    """Free in reverse; errors are of no use here."""
    runtime.cudaSetDevice(index)
    while held:
        free, handle = held.pop()
        getattr(runtime, free)(handle)


def _find(*names: str) -> Any:
    """The first of these modules that imports; None if none does."""
    for name in names:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None
