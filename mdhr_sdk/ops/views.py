"""Where an array lies: NumPy's, a tensor of PyTorch, or memory that someone else holds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import BackendError, InputError, require
from .extension import REBUILD, has_cuda_kernels

CPU = -1


@dataclass(frozen=True)
class DeviceArray:
    """CUDA memory that someone else holds: a TensorRT buffer, or an allocation of CuPy, cuda-python or PyCUDA.

    Attributes:
        address: the device pointer as an integer.
        shape: its sizes.
        dtype: a NumPy name, or 'bfloat16'.
        device: number of the CUDA device.
        strides: in bytes; None where there are no gaps and the last axis runs fastest.
    """

    address: int
    shape: tuple[int, ...]
    dtype: str
    device: int = 0
    strides: tuple[int, ...] | None = None


class View(NamedTuple):  # made some ten times a frame, and quicker than a dataclass
    """What a kernel must know of an array. `owner` keeps its memory alive; `device` is CPU, or CUDA's number of it."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: int
    owner: Any

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}" + ("" if self.device == CPU else f" on cuda:{self.device}")


def itemsize(dtype: str) -> int:
    """Bytes of an element; NumPy itself knows no bfloat16."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


@functools.lru_cache(256)
def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Bytes from an element to the next of each axis, where there are no gaps."""
    steps = accumulate(reversed(shape[1:]), mul, initial=itemsize)
    return tuple(steps)[::-1]


def dense(view: View, axes: int) -> bool:
    """Whether the last axes of an array have no gaps; strides of axes of length 1 do not matter."""
    shape, strides = view.shape[-axes:], view.strides[-axes:]
    wanted = contiguous_strides(shape, itemsize(view.dtype))
    return strides == wanted or all(n == 1 or a == b for n, a, b in zip(shape, strides, wanted, strict=True))


@functools.cache
def _name(dtype: np.dtype) -> str:
    return dtype.name  # NumPy puts it together anew each time, which takes longer than the rest of a view


def view_of(array: Any, name: str) -> View:
    """Look at an array without copying it.

    Raises:
        InputError: not an array, of foreign byte order, or one that cannot be shared.
        BackendError: a CUDA array, and the kernels were built without CUDA.
    """
    if isinstance(array, np.ndarray):
        if not array.dtype.isnative:
            raise InputError(f"expected {name} in native byte order; got {array.dtype}; convert it with astype")
        return View(array.__array_interface__["data"][0], array.shape, array.strides, _name(array.dtype), CPU, array)
    if isinstance(array, DeviceArray):
        strides = (
            contiguous_strides(tuple(array.shape), itemsize(array.dtype)) if array.strides is None else array.strides
        )
        view = View(array.address, tuple(array.shape), tuple(strides), array.dtype, array.device, array)
    elif hasattr(array, "data_ptr"):
        view = _of_tensor(array, name)
    else:
        raise InputError(
            f"expected {name} to be a NumPy array or a tensor of PyTorch; got {type(array).__name__}; "
            "wrap a device pointer in mdhr_sdk.ops.DeviceArray"
        )
    if view.device != CPU and not has_cuda_kernels():
        raise BackendError(f"got {view}, and the kernels were built without CUDA; MDHR_CUDA=1 and nvcc, then {REBUILD}")
    return view


def _of_tensor(tensor: Any, name: str) -> View:
    if tensor.requires_grad or tensor.device.type not in ("cpu", "cuda") or str(tensor.layout) != "torch.strided":
        raise InputError(
            f"expected {name} dense on the CPU or CUDA and without a gradient; got {tensor.layout} on {tensor.device}, "
            f"requires_grad={tensor.requires_grad}; detach or copy it"
        )
    strides = tuple(step * tensor.element_size() for step in tensor.stride())
    device = CPU if tensor.device.type == "cpu" else tensor.device.index
    dtype = str(tensor.dtype).removeprefix("torch.")
    return View(tensor.data_ptr(), tuple(tensor.shape), strides, dtype, device, tensor)


def check_writeable(array: Any, name: str) -> None:
    """Refuse, with InputError, an array that cannot be written to."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise InputError(f"expected {name} to be writeable; it is read-only")


def on_cpu(views: Sequence[View]) -> list[np.ndarray]:
    """The same memory as NumPy arrays, for the reference.

    Raises:
        InputError: an array lies on a device.
    """
    for view in views:
        if view.device != CPU:
            raise InputError(f"the reference runs on the CPU; got {view}; give backend='compiled', or copy the array")
    return [view.owner if isinstance(view.owner, np.ndarray) else _at_address(view) for view in views]


def _at_address(view: View) -> np.ndarray:
    if 0 in view.shape:  # which has no address
        return np.empty(view.shape, numpy_dtype(view.dtype))

    class Memory:
        owner = view.owner
        __array_interface__: ClassVar = {
            "version": 3,
            "data": (view.address, False),
            "shape": view.shape,
            "strides": view.strides,
            "typestr": f"<u{itemsize(view.dtype)}",
        }

    return np.asarray(Memory()).view(numpy_dtype(view.dtype))


def numpy_dtype(dtype: str) -> np.dtype:
    """NumPy's dtype; for bfloat16 that of ml_dtypes."""
    if dtype == "bfloat16":
        return np.dtype(require("ml_dtypes", "").bfloat16)
    return np.dtype(dtype)
