"""CUDA without a framework: how many devices the driver has."""

from __future__ import annotations

import ctypes
import functools
import sys


@functools.cache
def cuda_device_count() -> int:
    """CUDA devices that the NVIDIA driver offers; 0 without a driver."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
