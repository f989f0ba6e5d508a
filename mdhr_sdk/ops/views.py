"""Where an array lies: NumPy's, or any object that tells by DLPack or `__cuda_array_interface__`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any, ClassVar

import numpy as np

from ..errors import BackendError, InputError, require
from .extension import REBUILD, call, choose

CPU = -1
FLOATS = ("float32", "float16", "bfloat16")  # in the order of the kernels' DType
_DLPACK_CPU, _DLPACK_CUDA = (1, 3), (2, 13)  # plain and pinned; plain and managed
_TYPESTR = {"f4": "float32", "f2": "float16", "V2": "bfloat16", "u1": "uint8", "i8": "int64", "f8": "float64"}


@dataclass(frozen=True)
class DeviceArray:
    """CUDA memory that someone else holds: a TensorRT buffer, or an allocation of cuda-python or PyCUDA.

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


@dataclass(frozen=True)
class View:
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


def contiguous_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    steps = accumulate(reversed(shape[1:]), mul, initial=itemsize)
    return tuple(steps)[::-1]


@functools.cache
def _name(dtype: np.dtype) -> str:
    return dtype.name  # NumPy puts it together anew each time, which takes longer than the rest of a view


def view_of(array: Any, name: str) -> View:
    """Look at an array without copying it.

    Raises:
        InputError: not an array, of foreign byte order, or one that cannot be shared.
        BackendError: a CUDA array, and the extension was built without CUDA.
    """
    if isinstance(array, np.ndarray):
        if not array.dtype.isnative:
            raise InputError(f"expected {name} in native byte order; got {array.dtype}; convert it with astype")
        return View(array.__array_interface__["data"][0], array.shape, array.strides, _name(array.dtype), CPU, array)
    if isinstance(array, DeviceArray):
        strides = contiguous_strides(array.shape, itemsize(array.dtype)) if array.strides is None else array.strides
        view = View(array.address, tuple(array.shape), tuple(strides), array.dtype, array.device, array)
    elif hasattr(array, "__dlpack__"):
        view = _by_dlpack(array, name)
    elif hasattr(array, "__cuda_array_interface__"):
        view = _by_cuda_interface(array, name)
    else:
        raise InputError(
            f"expected {name} to be a NumPy array, or one with DLPack or __cuda_array_interface__; "
            f"got {type(array).__name__}; wrap a device pointer in mdhr_sdk.ops.DeviceArray"
        )
    if view.device != CPU:
        cuda_extension(view)
    return view


def cuda_extension(view: View) -> Any:
    """The extension with CUDA, for an array that lies on a device."""
    extension = choose("auto")
    if extension is None or not extension.cuda:
        raise BackendError(f"got {view}, and the kernels were built without CUDA; MDHR_CUDA=1 and nvcc, then {REBUILD}")
    return extension


def _by_dlpack(array: Any, name: str) -> View:
    extension = choose("auto")
    if extension is None:  # without it only the reference runs, on the CPU
        return _by_pointer(array, name) if hasattr(array, "data_ptr") else view_of(_as_numpy(array, name), name)
    try:
        cuda = array.__dlpack_device__()[0] in _DLPACK_CUDA
        capsule = array.__dlpack__(stream=-1) if cuda else array.__dlpack__()  # -1: the caller orders the streams
        address, shape, strides, dtype, kind, number = extension.dlpack(capsule)
    except (BufferError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"{name} cannot be shared by DLPack: {str(error).splitlines()[0]}; detach or copy it"
        ) from None
    if kind not in _DLPACK_CPU + _DLPACK_CUDA:
        raise InputError(f"expected {name} on the CPU or on CUDA; got DLPack device type {kind}")
    return View(address, shape, strides, dtype, number if kind in _DLPACK_CUDA else CPU, capsule)


def _by_pointer(tensor: Any, name: str) -> View:
    """A tensor of PyTorch: NumPy reads DLPack only for reading, and no bfloat16."""
    if tensor.requires_grad or tensor.device.type != "cpu":
        raise InputError(
            f"expected {name} on the CPU and without a gradient; got one on {tensor.device}; detach or copy it"
        )
    strides = tuple(step * tensor.element_size() for step in tensor.stride())
    dtype = str(tensor.dtype).removeprefix("torch.")
    return View(tensor.data_ptr(), tuple(tensor.shape), strides, dtype, CPU, tensor)


def _as_numpy(array: Any, name: str) -> np.ndarray:
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{name} cannot be shared by DLPack: {str(error).splitlines()[0]}; detach or copy it"
        ) from None


def _by_cuda_interface(array: Any, name: str) -> View:
    told = array.__cuda_array_interface__
    dtype = _TYPESTR.get(told["typestr"][1:], told["typestr"])
    if dtype not in _TYPESTR.values() or told["typestr"][0] == ">":
        raise InputError(f"expected {name} of a plain dtype; got {told['typestr']}")
    address, shape = int(told["data"][0]), tuple(told["shape"])
    strides = told.get("strides") or contiguous_strides(shape, itemsize(dtype))
    extension = cuda_extension(View(address, shape, strides, dtype, 0, array))
    return View(address, shape, tuple(strides), dtype, call(extension.cuda_device_of, address), array)


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
        return np.dtype(require("ml_dtypes", "all").bfloat16)
    return np.dtype(dtype)
