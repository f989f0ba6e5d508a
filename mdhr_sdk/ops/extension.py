"""The compiled extension: whether it was built, and how to get it."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from ..errors import BackendError, InputError

Backend = Literal["auto", "compiled", "reference"]
REBUILD = "with a C++17 compiler present run: pip install -e . in the mdhr_sdk checkout"
ABI = 1  # of csrc/bind.cpp
log = logging.getLogger("mdhr_sdk")


@functools.cache
def _load() -> ModuleType | str:
    """The extension, or why there is none."""
    # OpenMP reads this once, when it is loaded. Threads that spin after a kernel would slow the graph that runs next.
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        extension = importlib.import_module("mdhr_sdk._kernels")
    except ModuleNotFoundError:
        return "not built"
    except ImportError as error:
        return f"cannot be loaded ({error})"
    finally:
        if before is None:
            del os.environ["OMP_WAIT_POLICY"]
    if getattr(extension, "abi", None) == ABI:
        return extension
    stale = "built from other sources than these"
    log.warning("the compiled kernels (%s) are %s; %s", extension.__file__, stale, REBUILD)
    return stale


def extension_status() -> str:
    """One line on the compiled kernels of this installation: with which instructions they run, or why they do not."""
    extension = _load()
    if isinstance(extension, str):
        return f"{extension}; the NumPy reference is used; {REBUILD}"
    return f"compiled: {extension.instruction_set()}, {'CUDA' if extension.cuda else 'no CUDA'}"


def has_cuda_kernels() -> bool:
    """Whether the extension was built, and with CUDA."""
    extension = _load()
    return not isinstance(extension, str) and bool(extension.cuda)


def call(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of the extension.

    Raises:
        BackendError: CUDA could not do it.
    """
    try:
        return kernel(*arguments)
    except RuntimeError as error:
        raise BackendError(f"{error}; check the driver with nvidia-smi, or use arrays on the CPU") from None


def choose(backend: Backend) -> Any | None:
    """The extension for 'compiled', and for 'auto' where it was built; None for the reference.

    Raises:
        InputError: another name.
        BackendError: 'compiled', and there is no extension.
    """
    if backend not in ("auto", "compiled", "reference"):
        raise InputError(f"unknown backend {backend!r}; expected 'auto', 'compiled' or 'reference'")
    extension = None if backend == "reference" else _load()
    if isinstance(extension, str):
        if backend == "compiled":
            raise BackendError(f"the compiled kernels are {extension}; {REBUILD}, or give backend='reference'")
        return None
    return extension
