"""CUDA without a framework: which devices the driver has."""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
POOLS = 115  # CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
POWER_MODE = Path("/var/lib/nvpmodel/status")  # of a Jetson


@dataclass(frozen=True)
class CudaDevice:
    """A device as its driver names it; the compute capability reads '8.7'.

    Attributes:
        memory_pools: whether it can allocate in a stream's order, as our kernels do; some virtual GPUs cannot.
        multiprocessors: how many it has. All modules of Jetson Orin bear one name and one compute capability.
        memory_gib: its memory, up to the next power of two, so that what the system keeps for itself does not count.
    """

    name: str
    compute_capability: str
    memory_pools: bool = True
    multiprocessors: int = 0
    memory_gib: int = 0


@functools.cache
def cuda_device_count() -> int:
    """CUDA devices that the NVIDIA driver offers; 0 without a driver."""
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@functools.cache
def cuda_device(index: int = 0) -> CudaDevice | None:
    """A device, counted from 0; None if there is none of that number."""
    driver = _driver()
    handle, values, name = ctypes.c_int(0), [ctypes.c_int(0) for _ in range(4)], ctypes.create_string_buffer(256)
    total = ctypes.c_size_t(0)
    if driver is None or driver.cuDeviceGet(ctypes.byref(handle), index) != 0:
        return None
    failed = driver.cuDeviceGetName(name, len(name), handle)
    for attribute, value in zip((MAJOR, MINOR, POOLS, MULTIPROCESSORS), values, strict=True):
        failed |= driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
    failed |= driver.cuDeviceTotalMem_v2(ctypes.byref(total), handle)
    if failed:
        return None
    major, minor, pools, processors = (value.value for value in values)
    gib = 1 << max(0, math.ceil(math.log2(max(total.value, 1) / 2**30)))
    return CudaDevice(name.value.decode(errors="replace"), f"{major}.{minor}", bool(pools), processors, gib)


def cuda_free_bytes(index: int = 0) -> int | None:
    """Memory of a device that no program uses; None where the driver does not say."""
    driver = _driver()
    handle, context = ctypes.c_int(0), ctypes.c_void_p()
    free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
    if driver is None or driver.cuDeviceGet(ctypes.byref(handle), index) != 0:
        return None
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), handle) != 0:
        return None
    known = False
    if driver.cuCtxPushCurrent_v2(context) == 0:
        known = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    driver.cuDevicePrimaryCtxRelease_v2(handle)
    return free.value if known else None


def power_mode() -> str:
    """The power mode of a Jetson as its nvpmodel keeps it, such as 'pmode:0002'; empty elsewhere."""
    try:
        return " ".join(POWER_MODE.read_text(encoding="utf-8", errors="replace").split())[:80]
    except OSError:
        return ""


def device_number(device: str) -> int:
    """1 of 'cuda:1'; 0 of 'cuda'."""
    return int(device.partition(":")[2] or 0)


def no_device(device: str) -> str | None:
    """Why 'cuda' or 'cuda:N' is not there; None if it is."""
    if cuda_device_count() == 0:
        return "this machine has no CUDA device that the NVIDIA driver offers"
    if cuda_device(device_number(device)) is None:
        return f"device '{device}' was asked for and there are {cuda_device_count()} CUDA devices, counted from 0"
    return None


def _driver() -> Any:
    """The driver's library, initialised; None if it cannot be."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    return driver if driver.cuInit(0) == 0 else None
