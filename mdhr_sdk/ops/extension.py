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
ABI = 2  # of csrc/bind.cpp
OLDEST_CUDA = (8, 0)  # compute capability that setup.py builds for
MOST_THREADS = 1024  # more are a mistake, and OpenMP ends the process where it cannot start one
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


class _Process:
    """What OpenMP has done in this process, and whether it may do it again."""

    threads = 1
    forked = False

    @classmethod
    def after_fork(cls) -> None:
        cls.forked = cls.forked or cls.threads > 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Process.after_fork)


def kernel_threads(extension: Any, threads: int | None) -> int:
    """Threads for a kernel: as asked, or OpenMP's own choice.

    One in a process that was forked from one whose kernels had more: those do not outlive a fork, and OpenMP would wait
    for them for ever.
    """
    if _Process.forked:
        return 1
    threads = threads or int(extension.max_threads())
    _Process.threads = max(_Process.threads, threads)
    return threads


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
