"""The compiled kernels: the library of csrc/mdhr.h, whether it was built, and how to call it."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..errors import BackendError, InputError

Backend = Literal["auto", "compiled", "reference"]
LIBRARY = Path(__file__).parents[1] / "libmdhr.so"
REBUILD = "with a C++17 compiler present run: pip install -e . in the mdhr_sdk checkout"
ABI = 5  # MDHR_ABI of csrc/mdhr.h
MAX_SCALES = 8  # MDHR_MAX_SCALES
LAYERS, LANES = 3, 16  # MDHR_LAYERS, MDHR_LANES
FLOATS = ("float32", "float16", "bfloat16")  # MDHR_FLOAT32 and those after it
OLDEST_CUDA = (8, 0)  # compute capability that setup.py builds for
MOST_THREADS = 1024  # more are a mistake, and OpenMP ends the process where it cannot start one
log = logging.getLogger("mdhr_sdk")


class Shape(ctypes.Structure):
    """mdhr_shape."""

    _fields_: ClassVar = [
        (name, ctypes.c_int32) for name in ("batch", "frames", "scales", "channels", "positions", "squeezed", "k")
    ]


class Parameters(ctypes.Structure):
    """mdhr_parameters, of addresses."""

    _fields_: ClassVar = [
        (name, ctypes.c_void_p) for name in ("scale", "shift", "squeeze", "squeeze_bias", "weigh", "weigh_bias")
    ]


class Maps(ctypes.Structure):
    """mdhr_maps."""

    _fields_: ClassVar = [
        ("data", ctypes.c_void_p * MAX_SCALES),
        ("batch_stride", ctypes.c_int64 * MAX_SCALES),
        ("frame_stride", ctypes.c_int64 * MAX_SCALES),
        ("dtype", ctypes.c_int32),
        ("changes", ctypes.c_int32),
    ]


class Place(ctypes.Structure):
    """mdhr_place."""

    _fields_: ClassVar = [("device", ctypes.c_int32), ("threads", ctypes.c_int32), ("stream", ctypes.c_void_p)]


class State(ctypes.Structure):
    """mdhr_state."""

    _fields_: ClassVar = [
        ("count", ctypes.c_int64),
        ("previous", ctypes.c_void_p),
        ("ring", ctypes.c_void_p),
        ("products", ctypes.c_void_p),
    ]


class Geometry(ctypes.Structure):
    """mdhr_geometry."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("points", "rigid", "sums", "plain", "distances", "networks")),
        ("widths", ctypes.c_int32 * (LAYERS + 1)),
        *(
            (name, ctypes.c_void_p)
            for name in ("rigid_at", "target", "centre", "at", "factors", "from", "to", "refinement", "mean", "spread")
        ),
        ("absolute_spread", ctypes.c_void_p),
        ("weights", ctypes.c_void_p * LAYERS),
        ("biases", ctypes.c_void_p * LAYERS),
        *((name, ctypes.c_double) for name in ("most", "absolute_most", "sure")),
    ]


@functools.cache
def _load() -> ctypes.CDLL | str:
    """The library, or why there is none."""
    if not LIBRARY.is_file():
        return "not built"
    # OpenMP reads this once, when it is loaded. Threads that spin after a kernel would slow the graph that runs next.
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        openmp = "; on Debian or Ubuntu run: apt-get install libgomp1" if "libgomp" in str(error) else ""
        return f"cannot be loaded ({error}{openmp})"
    finally:
        if before is None:
            del os.environ["OMP_WAIT_POLICY"]
    abi = getattr(library, "mdhr_abi", None)
    if abi is None or abi() != ABI:
        stale = "built from other sources than these"
        log.warning("the compiled kernels (%s) are %s; %s", LIBRARY, stale, REBUILD)
        return stale
    for name in ("mdhr_error", "mdhr_instruction_set"):
        getattr(library, name).restype = ctypes.c_char_p
    address, count = ctypes.c_void_p, ctypes.c_int32
    library.mdhr_shrink.argtypes = [address, ctypes.c_int64, count, count, address, count, count]
    library.mdhr_warp.argtypes = [address, ctypes.c_int64, count, count, address, address, count]
    library.mdhr_look.argtypes = [*library.mdhr_warp.argtypes, address, count, address]
    library.mdhr_planes.argtypes = [address, count, count, address, address, address]
    library.mdhr_read_mesh.argtypes = [address, address, address, ctypes.c_double, address, address]
    return library


def extension_status() -> str:
    """One line on the compiled kernels of this installation: with which instructions they run, or why they do not."""
    library = _load()
    if isinstance(library, str):
        return f"{library}; the NumPy reference is used; {REBUILD}"
    cuda = "CUDA" if library.mdhr_has_cuda() else "no CUDA"
    return f"compiled: {library.mdhr_instruction_set().decode()}, {cuda}"


class _Process:
    """What OpenMP has done in this process, and whether it may do it again."""

    several = False
    forked = False

    @classmethod
    def after_fork(cls) -> None:
        cls.forked = cls.forked or cls.several


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Process.after_fork)


def place(device: int, stream: int, threads: int | None) -> Place:
    """Where a kernel runs. `threads` as asked, or OpenMP's own choice.

    One in a process that was forked from one whose kernels had more: those do not outlive a fork, and OpenMP would wait
    for them for ever.
    """
    if _Process.forked:
        threads = 1
    _Process.several = _Process.several or threads != 1
    return _place(device, threads or 0, stream)


@functools.lru_cache(64)
def _place(device: int, threads: int, stream: int) -> Place:
    return Place(device, threads, stream)  # which kernels only read


def maps_of(addresses: Sequence[int], strides: Sequence[Sequence[int]], dtype: str, changes: bool = False) -> Maps:
    """Maps as kernels take them: for each scale its address, and the bytes to the next clip and to the next frame."""
    maps = Maps(dtype=FLOATS.index(dtype), changes=changes)
    for level, (address, (batch, frame)) in enumerate(zip(addresses, strides, strict=True)):
        maps.data[level], maps.batch_stride[level], maps.frame_stride[level] = address, batch, frame
    return maps


def has_cuda_kernels() -> bool:
    """Whether the library was built, and with CUDA."""
    library = _load()
    return not isinstance(library, str) and bool(library.mdhr_has_cuda())


def call(library: ctypes.CDLL, kernel: str, *arguments: Any) -> None:
    """Run a function of the library.

    Raises:
        InputError: it finds something wrong with its arguments.
        BackendError: there is no memory, or CUDA could not do it.
    """
    code = getattr(library, kernel)(*arguments)
    if code == 0:
        return
    reason = library.mdhr_error().decode()
    if code == 1:
        raise InputError(f"{kernel}: {reason}")
    if code == 2:
        raise BackendError(f"{kernel}: {reason}; give it less at once")
    raise BackendError(f"CUDA: {reason}; check the driver with nvidia-smi, or use arrays on the CPU")


def choose(backend: Backend) -> ctypes.CDLL | None:
    """The library for 'compiled', and for 'auto' where it was built; None for the reference.

    Raises:
        InputError: another name.
        BackendError: 'compiled', and there is no library.
    """
    if backend not in ("auto", "compiled", "reference"):
        raise InputError(f"unknown backend {backend!r}; expected 'auto', 'compiled' or 'reference'")
    library = None if backend == "reference" else _load()
    if isinstance(library, str):
        if backend == "compiled":
            raise BackendError(f"the compiled kernels are {library}; {REBUILD}, or give backend='reference'")
        return None
    return library
