"""The key of an engine: every field counts, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_tensorrt import FakeTensorRT
from mdhr_sdk.deploy import EngineOptions
from mdhr_sdk.deploy.engines.plan import EnginePlan, find_target, plan_engine
from mdhr_sdk.errors import BackendError, ExportError, MissingDependencyError, ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime.cuda import devices
from mdhr_sdk.runtime.cuda.toolchains import EngineTarget

TARGET = EngineTarget("tensorrt", "10.3.0", "Orin", ("8.7",), "Linux aarch64")
OTHER = {
    "graph": "encoder",
    "precision": "fp16",
    "batch_min": 2,
    "batch_opt": 3,
    "batch_max": 9,
    "toolchain": "rtx",
    "workspace_mib": 1025,
    "compute_capabilities": ("8.6",),
    "optimization_level": 4,
}
OTHER_TARGET = {
    "toolchain": "rtx",
    "version": "10.3.1",
    "device": "Orin Nano",
    "compute_capabilities": ("8.9",),
    "system": "Linux x86_64",
    "multiprocessors": 16,
    "memory_gib": 16,
}


def plan(target: EngineTarget = TARGET, onnx: str = "a" * 64, weights: str = "b" * 64, **options: Any) -> EnginePlan:
    base: dict[str, Any] = {"batch_min": 2, "batch_opt": 2, "batch_max": 4}
    return EnginePlan(EngineOptions(**{**base, **options}), target, onnx, weights)


def test_the_key_is_the_same_for_the_same() -> None:
    assert plan().key == plan().key
    assert len(plan().key) == 64 and set(plan().key) <= set("0123456789abcdef")


def test_every_option_changes_the_key() -> None:
    assert set(OTHER) == {field.name for field in dataclasses.fields(EngineOptions)}
    for name, value in OTHER.items():
        base = {"toolchain": "rtx"} if name == "compute_capabilities" else {}
        if name == "batch_min":
            base, value = {"batch_min": 1}, 2
        assert plan(**{**base, name: value}).key != plan(**base).key, name


def test_everything_an_engine_is_bound_to_changes_the_key() -> None:
    assert set(OTHER_TARGET) == {field.name for field in dataclasses.fields(EngineTarget)}
    for name, value in OTHER_TARGET.items():
        assert plan(dataclasses.replace(TARGET, **{name: value})).key != plan().key, name  # type: ignore[arg-type]


def test_what_it_is_built_from_changes_the_key() -> None:
    assert len({plan().key, plan(onnx="c" * 64).key, plan(weights="c" * 64).key}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision of an engine must be one of fp32, fp16, int8; got 'fp8'"),
        ({"precision": "bf16"}, "one of fp32, fp16, int8"),
        ({"graph": "clips"}, "graph of an engine must be one of clip, encoder"),
        ({"toolchain": "onnx"}, "toolchain of an engine must be one of tensorrt, rtx"),
        ({"batch_min": 0}, "batch_min of an engine must be an integer of at least 1; got 0"),
        ({"batch_min": True}, "batch_min"),
        ({"batch_opt": 0}, "batch_opt of an engine must be an integer, batch_min or more"),
        ({"batch_opt": 4, "batch_max": 3}, "batch_max of an engine must be an integer, batch_opt or more"),
        ({"workspace_mib": 0}, "workspace_mib"),
        ({"optimization_level": 6}, "optimization_level of an engine must be an integer from 0 to 5; got 6"),
        ({"toolchain": "rtx", "compute_capabilities": ("sm_86",)}, "compute_capabilities"),
        ({"toolchain": "rtx", "compute_capabilities": ("8.6", "8.6")}, "compute_capabilities"),
        ({"compute_capabilities": ("8.6",)}, "TensorRT builds for the device it runs on"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        EngineOptions(**options)


def test_a_plan_tells_this_machine(head_folder: Path, gpu_machine: Callable[..., FakeTensorRT]) -> None:
    gpu_machine("10.3.0")
    found = plan_engine(ModelFolder.open(head_folder), EngineOptions("head"))
    assert (found.name, found.source) == ("head.engine", "head.onnx")
    assert (found.target.version, found.target.device, found.target.compute_capabilities) == (
        "10.3.0",
        "Orin",
        ("8.7",),
    )
    files = json.loads((head_folder / "manifest.json").read_text())["files"]
    assert (found.onnx_sha256, found.weights_sha256) == (
        files["head.onnx"]["sha256"],
        files["model.safetensors"]["sha256"],
    )
    assert "for        Orin of compute capability 8.7, 8 multiprocessors, up to 8 GiB" in found.lines()


def test_modules_of_one_name_are_told_apart(
    head_folder: Path, gpu_machine: Callable[..., FakeTensorRT], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Orin NX and AGX Orin both call themselves Orin, and what the system keeps of the memory changes."""
    keys = []
    for processors, gib in ((8, 7.4), (8, 7.6), (8, 15.3), (14, 30.6), (16, 61.4)):
        cuda = gpu_machine().cuda
        cuda.multiprocessors, cuda.total_bytes = processors, int(gib * 2**30)
        keys.append(plan_engine(ModelFolder.open(head_folder), EngineOptions("head")).key)
    assert keys[0] == keys[1] and len(set(keys)) == 4
    monkeypatch.setattr(devices, "POWER_MODE", tmp_path / "status")
    (tmp_path / "status").write_text("pmode:0002 fmode:quiet\n")
    found = plan_engine(ModelFolder.open(head_folder), EngineOptions("head"))
    assert found.key == keys[-1] and any("pmode:0002" in line for line in found.lines())


def test_the_workspace_is_half_of_what_is_free(head_folder: Path, gpu_machine: Callable[..., FakeTensorRT]) -> None:
    cuda, folder = gpu_machine().cuda, ModelFolder.open(head_folder)
    first = plan_engine(folder, EngineOptions("head"))
    assert first.workspace_mib == 1536 and any("1536 MiB (half of what is free)" in line for line in first.lines())
    cuda.free_bytes = 1 << 30
    second = plan_engine(folder, EngineOptions("head"))
    assert second.workspace_mib == 512 and second.key == first.key, "which is no reason to build again"
    cuda.free_bytes = 0
    assert plan_engine(folder, EngineOptions("head")).workspace_mib == 4096
    assert plan_engine(folder, EngineOptions("head", workspace_mib=7)).workspace_mib == 7


def test_an_rtx_plan_is_for_no_device_in_particular(gpu_machine: Callable[..., FakeTensorRT]) -> None:
    trt = gpu_machine("1.7.1.116", ("NVIDIA GeForce RTX 3080", "8.6"), name="tensorrt_rtx")
    here = find_target(EngineOptions(toolchain="rtx"))
    assert (here.device, here.compute_capabilities) == ("", ("8.6", "12.0"))
    assert find_target(EngineOptions(toolchain="rtx", compute_capabilities=("7.5",))).compute_capabilities == ("7.5",)
    trt.cuda.devices.clear()
    assert find_target(EngineOptions(toolchain="rtx")) == here
    with pytest.raises(ExportError, match=r"builds for the compute capabilities 7\.5, 8\.6, 12\.0; got 8\.7"):
        find_target(EngineOptions(toolchain="rtx", compute_capabilities=("8.6", "8.7")))


def test_what_is_missing_is_named_with_its_remedy(head_folder: Path, gpu_machine: Callable[..., FakeTensorRT]) -> None:
    folder = ModelFolder.open(head_folder)
    gpu_machine()
    with pytest.raises(ExportError, match=r"no head\.fp16\.onnx .*mdhr export .* --graph head --precision fp16"):
        plan_engine(folder, EngineOptions("head", "fp16"))
    with pytest.raises(MissingDependencyError, match=r"TensorRT-RTX .*pip install -e '\.\[rtx\]'"):
        plan_engine(folder, EngineOptions("head", toolchain="rtx"))
    gpu_machine().cuda.devices.clear()
    with pytest.raises(BackendError, match=r"no CUDA device; .*--toolchain rtx"):
        plan_engine(folder, EngineOptions("head"))
    gpu_machine(name="tensorrt_rtx")
    with pytest.raises(MissingDependencyError, match=r"JetPack: .*desktop: pip install tensorrt; .*--toolchain rtx"):
        plan_engine(folder, EngineOptions("head"))


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(
    head_folder: Path, gpu_machine: Callable[..., FakeTensorRT]
) -> None:
    gpu_machine()
    with (head_folder / "head.onnx").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelFolderError, match=r"head\.onnx' has other bytes than manifest\.json says"):
        plan_engine(ModelFolder.open(head_folder), EngineOptions("head"))


def test_remedies_on_aarch64_name_no_package_that_does_not_exist_there() -> None:
    code = (
        "import platform; platform.machine = lambda: 'aarch64'\n"
        "from mdhr_sdk.runtime.backends.onnxruntime import REMEDIES\n"
        "from mdhr_sdk.runtime.cuda.toolchains import TOOLCHAINS\n"
        "print(*REMEDIES.values(), *(chain.remedy for chain in TOOLCHAINS.values()), sep='\\n')\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.count("build_engine.py MODEL") == 2 and "python3-libnvinfer" in said
    assert not any(word in said for word in ("onnxruntime-gpu", "pip install tensorrt", "[rtx]"))
