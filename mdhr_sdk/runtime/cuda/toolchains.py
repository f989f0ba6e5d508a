"""The kinds of TensorRT: how each is found, what its engines are called, and what an engine is bound to."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import MissingDependencyError, install_hint
from .devices import cuda_device

ARM = platform.machine() in ("aarch64", "arm64")
log = logging.getLogger("mdhr_sdk.tensorrt")
log.addHandler(logging.NullHandler())  # TensorRT's own messages; who wants them sets up logging


@dataclass(frozen=True)
class Toolchain:
    """A kind of TensorRT.

    Attributes:
        name: what `--toolchain` calls it.
        backend: what `--backend` calls it.
        title: how people call it.
        modules: import names, the first that is there is taken.
        suffix: of its engine files.
        remedy: how to get it.
        portable: an engine runs on every device of its compute capabilities, and is built without one. Otherwise it
            is built on the device, and for that kind of device only.
        captures_itself: it makes CUDA graphs of its runs by itself.
    """

    name: str
    backend: str
    title: str
    modules: tuple[str, ...]
    suffix: str
    remedy: str
    portable: bool
    captures_itself: bool

    def load(self) -> Any:
        """Its Python module.

        Raises:
            MissingDependencyError: it is not installed, or its libraries do not load; with the remedy.
        """
        module = next((module for module in self.modules if importlib.util.find_spec(module)), None)
        if module is None:
            raise MissingDependencyError(
                f"{self.title} (Python package '{self.modules[0]}') is not installed; {self.remedy}"
            )
        try:
            return importlib.import_module(module)
        except (ImportError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise MissingDependencyError(
                f"{self.title} is installed and does not load: {reason}; {self.remedy}"
            ) from None

    def missing(self) -> str | None:
        """Why it cannot be loaded, with the remedy; None if it can."""
        try:
            self.load()
        except MissingDependencyError as error:
            return str(error)
        return None


TOOLCHAINS = {
    chain.name: chain
    for chain in (
        Toolchain(
            name="tensorrt",
            backend="tensorrt",
            title="TensorRT",
            modules=("tensorrt",),
            suffix="engine",
            remedy=(
                "on JetPack: sudo apt install python3-libnvinfer, and a virtual environment with --system-site-packages"
                + ("" if ARM else "; on a desktop: pip install tensorrt; for RTX GPUs without it: --toolchain rtx")
            ),
            portable=False,
            captures_itself=False,
        ),
        Toolchain(
            name="rtx",
            backend="tensorrt-rtx",
            title="TensorRT-RTX",
            modules=("tensorrt_rtx", "tensorrt_rtx_bindings"),
            suffix="rtx.engine",
            remedy="it has no package for this processor; take --toolchain tensorrt" if ARM else install_hint("rtx"),
            portable=True,
            captures_itself=True,
        ),
    )
}


BOUND = {"multiprocessors": "number of multiprocessors", "memory_gib": "memory in GiB"}


@dataclass(frozen=True)
class EngineTarget:
    """What an engine is bound to.

    Attributes:
        toolchain: name of the toolchain.
        version: its version.
        device: name of the CUDA device; empty for a portable engine.
        compute_capabilities: such as ('8.7',).
        system: operating system and processor, such as 'Linux aarch64'.
        multiprocessors, memory_gib: of the device, which tell modules of one name apart; 0 for a portable engine.
    """

    toolchain: str
    version: str
    device: str
    compute_capabilities: tuple[str, ...]
    system: str
    multiprocessors: int = 0
    memory_gib: int = 0

    @classmethod
    def here(cls, chain: Toolchain, index: int = 0) -> EngineTarget:
        """This machine with one of its CUDA devices; device and capabilities are empty without one."""
        device = cuda_device(index)
        version, system = str(chain.load().__version__), f"{platform.system()} {platform.machine()}"
        if device is None:
            return cls(chain.name, version, "", (), system)
        capabilities, processors = (device.compute_capability,), device.multiprocessors
        return cls(chain.name, version, device.name, capabilities, system, processors, device.memory_gib)


def foreign(made: Mapping[str, Any], chain: Toolchain, index: int) -> str | None:
    """Why an engine cannot run on this machine, by the `EngineTarget` it was made for; None if it may."""
    here = asdict(EngineTarget.here(chain, index))
    bound = ("device", "multiprocessors", "memory_gib", "system")
    for field in ("toolchain", "version", *(() if chain.portable else bound)):
        if made.get(field) != here[field]:
            return f"it was built for the {BOUND.get(field, field)} '{made.get(field)}', and this is '{here[field]}'"
    wanted, own = made.get("compute_capabilities") or (), here["compute_capabilities"]
    if not own or own[0] not in wanted:
        has = own[0] if own else "none"
        return f"it was built for the compute capabilities {', '.join(wanted) or 'none'}, and this device has {has}"
    return None


@functools.cache
def trt_logger(trt: Any) -> Any:
    """TensorRT's logger of this process: to Python's logging, and the last errors to hand.

    One for all: TensorRT keeps the first it is given. `last_error(logger)` gives and clears what it held.
    """
    levels = {"INTERNAL_ERROR": 40, "ERROR": 40, "WARNING": 30, "INFO": 20, "VERBOSE": 10}

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            level = levels.get(getattr(severity, "name", ""), logging.INFO)
            log.log(level, "%s", msg)
            if level == logging.ERROR:
                self.errors.append(" ".join(msg.split()))

    return Logger()


def last_error(logger: Any, default: str) -> str:
    """The first error since the last call, which is the cause of those after it; `default` if there was none."""
    found = logger.errors[0] if logger.errors else default
    logger.errors.clear()
    return str(found)[:300]
