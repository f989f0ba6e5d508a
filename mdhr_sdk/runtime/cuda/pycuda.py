"""`DeviceMemory` through pycuda, which is what many Jetsons have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import DTypeLike, NDArray

from ...errors import BackendError


class PyCuda:
    """`DeviceMemory` through pycuda, in the primary context, which TensorRT uses too."""

    def __init__(self, driver: Any, index: int) -> None:
        self._driver, self.number = driver, index
        self._allocations: list[Any] = []
        try:
            driver.init()
            self._device = driver.Device(index)
            self._context = self._device.retain_primary_context()
        except driver.Error as error:
            raise BackendError(f"CUDA: {error}") from None
        self._closed = False
        with self.active():
            self._stream: Any = driver.Stream()
        self.stream = int(self._stream.handle)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        if self._closed:
            raise BackendError("the device memory is closed")
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise BackendError(f"CUDA: {error}") from None
        finally:
            self._context.pop()

    def host(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        flags = self._driver.host_alloc_flags.DEVICEMAP
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype, mem_flags=flags)
        self._allocations.append(array.base)
        return array

    def mapped(self, array: NDArray[Any]) -> int | None:
        if not self._device.get_attribute(self._driver.device_attribute.INTEGRATED):
            return None
        base: Any = array.base
        return int(base.get_device_pointer())

    def device(self, size_bytes: int) -> int:
        allocation = self._driver.mem_alloc(size_bytes)
        self._allocations.append(allocation)
        return int(allocation)

    def upload(self, address: int, array: NDArray[Any]) -> None:
        self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        self._driver.memcpy_dtoh_async(array, address, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def capture(self, record: Callable[[], None]) -> Callable[[], None]:
        try:
            begin = self._stream.begin_capture
        except AttributeError:
            raise BackendError("this pycuda knows no CUDA graphs") from None
        try:
            begin()
            try:
                record()
            except BaseException:
                with contextlib.suppress(self._driver.Error):
                    self._stream.end_capture()  # the stream is usable again, the graph is not
                raise
            runnable = self._stream.end_capture().instantiate()
        except self._driver.Error as error:
            raise BackendError(f"CUDA: capture failed: {error}") from None
        return lambda: runnable.launch(self._stream)

    def close(self) -> None:
        if self._closed:
            return
        with contextlib.suppress(BackendError), self.active():
            self._stream = None
            while self._allocations:
                self._allocations.pop().free()
        self._closed = True
        self._context.detach()
