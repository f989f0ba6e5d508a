"""What a figure was measured on."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mdhr_sdk.children import usable_cores
from mdhr_sdk.runtime.cuda.devices import cuda_free_bytes

CPUINFO = Path("/proc/cpuinfo")
BOARD = Path("/proc/device-tree/model")  # on Jetson and its like
FLAGS = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
)
PACKAGES = (
    *("mdhr-sdk", "numpy", "torch", "timm", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino"),
    *("tensorrt", "cuda-bindings"),
)
QUIET_LOAD_A_CORE = 0.25


@dataclass(frozen=True)
class Machine:
    """Hardware and software of a run.

    Attributes:
        cores: CPU cores that this process may use.
        flags: those of the CPU's instruction sets that matter to networks.
        memory_gib: of the whole machine; None where the system does not say.
        gpus: names, by nvidia-smi.
        versions: package -> version, of those installed.
        load_average: of the last minute, before anything was measured; None where the system does not say.
        date: ISO 8601, UTC.
    """

    cpu: str
    board: str
    cores: int
    flags: tuple[str, ...]
    memory_gib: float | None
    gpus: tuple[str, ...]
    system: str
    python: str
    versions: dict[str, str]
    load_average: float | None
    date: str

    @property
    def warning(self) -> str:
        """Why figures of this run are doubtful; empty when the machine was quiet."""
        if self.load_average is None or self.load_average <= QUIET_LOAD_A_CORE * self.cores:
            return ""
        return (
            f"load average {self.load_average:.2f} on {self.cores} cores before the start: this machine is not quiet; "
            "compare ratios, and rather measure again"
        )

    def lines(self) -> list[str]:
        """The header of a table."""
        memory = "" if self.memory_gib is None else f", {self.memory_gib:.0f} GiB"
        load = "" if self.load_average is None else f", load average {self.load_average:.2f}"
        device = " · ".join(part for part in (self.board, self.cpu, *self.gpus) if part)
        return [
            f"{device}; {self.cores} cores usable{memory}; {' '.join(self.flags)}",
            f"{self.system}; Python {self.python}; " + ", ".join(f"{k} {v}" for k, v in self.versions.items()),
            f"{self.date}{load}",
        ]

    def header(self) -> str:
        """`lines`, and the warning if there is one."""
        return "\n".join([*self.lines(), *([f"warning: {self.warning}"] if self.warning else [])])


def describe_machine() -> Machine:
    """Look around, without importing anything heavy."""
    info = _cpuinfo()
    present = set(info.get("flags", info.get("Features", "")).split())
    return Machine(
        cpu=info.get("model name") or platform.processor() or platform.machine(),
        board=BOARD.read_text(encoding="utf-8").strip("\0\n") if BOARD.is_file() else "",
        cores=usable_cores(),
        flags=tuple(flag for flag in FLAGS if flag in present),
        memory_gib=_memory_gib(),
        gpus=_gpus(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=_versions(),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def device_free_mib(device: str) -> float | None:
    """Free memory of 'cuda' or 'cuda:N' in MiB; None for 'cpu', or where the driver does not say."""
    if device == "cpu":
        return None
    free = cuda_free_bytes(int(device.partition(":")[2] or 0))
    return None if free is None else free / 2**20


def _cpuinfo() -> dict[str, str]:
    """The first core's fields of /proc/cpuinfo; empty elsewhere than on Linux."""
    if not CPUINFO.is_file():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return None


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(done.stdout.strip().splitlines()) if done.returncode == 0 else ()


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
