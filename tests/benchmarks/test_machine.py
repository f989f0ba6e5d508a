"""What is said of the machine."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import machine
from benchmarks.machine import describe_machine, device_free_mib, usable_cores
from fake_tensorrt import FakeTensorRT

CPUINFO = """processor\t: 0
model name\t: {name}
flags\t\t: fpu sse2 avx2 fma avx512_bf16 not_one_of_ours

processor\t: 1
model name\t: another
flags\t\t: amx_tile
"""


def test_this_machine() -> None:
    found = describe_machine()
    assert found.cores == usable_cores() >= 1
    assert found.versions["numpy"] == np.__version__
    assert found.date.endswith("+00:00")
    text = "\n".join(found.lines())
    assert found.python in text and f"{found.cores} cores usable" in text


def test_an_intel_or_amd_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(name="Zen 4 of a kind"))
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    found = describe_machine()
    assert (found.cpu, found.flags) == ("Zen 4 of a kind", ("avx2", "fma", "avx512_bf16"))


def test_a_board_with_an_arm_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    (tmp_path / "model").write_bytes(b"NVIDIA Jetson Orin Nano\0")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "BOARD", tmp_path / "model")
    found = describe_machine()
    assert (found.board, found.flags) == ("NVIDIA Jetson Orin Nano", ("asimd", "asimddp", "i8mm"))
    assert found.lines()[0].startswith("NVIDIA Jetson Orin Nano · ")


def test_gpus_by_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    def smi(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "NVIDIA A\nNVIDIA B\n", "")

    monkeypatch.setattr(machine.shutil, "which", lambda _: "nvidia-smi")
    monkeypatch.setattr(machine.subprocess, "run", smi)
    assert describe_machine().gpus == ("NVIDIA A", "NVIDIA B")
    monkeypatch.setattr(machine.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 9, "no driver", ""))
    assert describe_machine().gpus == ()


def test_free_memory_is_that_of_the_device_which_is_left_as_it_was(gpu_machine: Callable[..., FakeTensorRT]) -> None:
    assert device_free_mib("cpu") is None
    fake = gpu_machine("10.3.0", ("Orin", "8.7"), ("Thor", "11.0")).cuda
    assert device_free_mib("cuda:1") == 3072
    assert fake.log == ["retain", "push 1", "pop", "release"]
    fake.free_bytes = 0
    assert device_free_mib("cuda") is None and fake.log[4:] == ["retain", "push 0", "pop", "release"]
    assert device_free_mib("cuda:2") is None


@pytest.mark.parametrize(("load", "quiet"), [(0.0, True), (1.0, True), (1.01, False), (8.0, False), (None, True)])
def test_a_machine_that_is_not_quiet_is_told(load: float | None, quiet: bool) -> None:
    found = dataclasses.replace(describe_machine(), cores=4, load_average=load)
    assert (found.warning == "") == quiet


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen differently here")
def test_only_the_cores_that_this_process_may_use_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
