"""Building engines, against fakes of TensorRT 10, 11 and RTX: the recipe, the gate, what is kept and what is not."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import mdhr_sdk
from engine_helpers import shift_scores, vouch
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.atomic import LOCK
from mdhr_sdk.deploy import EngineOptions, build_engine
from mdhr_sdk.deploy.engines import build as engines
from mdhr_sdk.deploy.engines.build import TIMING_CACHE
from mdhr_sdk.errors import ExportError, ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder, sha256

HEAD = EngineOptions("head", batch_opt=2, batch_max=4)
Machine = Callable[..., FakeTensorRT]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def manifest(folder: Path) -> dict[str, dict]:
    return ModelFolder.open(folder).manifest


def forget_weights(folder: Path) -> None:
    """Without them there is no parity run, which most tests do not need."""
    (folder / "model.safetensors").unlink()


def replace_onnx(folder: Path, content: bytes) -> None:
    (folder / "head.onnx").write_bytes(content)
    vouch(folder, "head.onnx")


@pytest.mark.parametrize(
    ("name", "version"), [("tensorrt", "10.3.0"), ("tensorrt", "11.4.0"), ("tensorrt_rtx", "1.7.1.116")]
)
def test_one_recipe_for_all(head_folder: Path, gpu_machine: Machine, name: str, version: str) -> None:
    trt = gpu_machine(version, ("NVIDIA GeForce RTX 3080", "8.6"), name=name)
    forget_weights(head_folder)
    toolchain = "rtx" if trt.rtx else "tensorrt"
    options = EngineOptions("head", "fp32", 1, 2, 4, toolchain, workspace_mib=256, optimization_level=2)
    report = build_engine(head_folder, options)
    (settings,) = trt.settings
    assert settings.workspace == 256 << 20 and settings.builder_optimization_level == 2
    assert settings.flags == set(), "TF32 off, and no flag of a precision"
    assert settings.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert settings.profile["map_1"] == [[n, 4, 32, 3, 3] for n in (1, 2, 4)]
    assert settings.num_compute_capabilities == (2 if trt.rtx else 0)
    if trt.rtx:
        assert list(settings.capabilities.values()) == [trt.ComputeCapability.SM86, trt.ComputeCapability.SM120]
    assert report.path.name == ("head.rtx.engine" if trt.rtx else "head.engine")
    assert (TIMING_CACHE in files(head_folder)) != trt.rtx, "TensorRT-RTX keeps none"
    assert (report.built, report.parity) == (True, None) and "model.safetensors" in report.unproven


def test_the_manifest_says_how_it_was_made(head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine("10.3.0")
    report = build_engine(head_folder, HEAD)
    listed = manifest(head_folder)
    entry = listed["head.engine"]
    assert entry["source_sha256"] == listed["model.safetensors"]["sha256"]
    assert entry["onnx_sha256"] == listed["head.onnx"]["sha256"]
    assert entry["key"] == report.plan.key and entry["versions"] == {
        "mdhr_sdk": mdhr_sdk.__version__,
        "tensorrt": "10.3.0",
    }
    assert entry["target"]["device"] == entry["device"] == "Orin"
    assert (entry["options"]["batch_min"], entry["options"]["batch_max"], entry["options"]["clip_length"]) == (1, 4, 4)
    assert entry["parity"]["failure"] == "" and entry["parity"]["clips"] == 11
    assert report.parity == entry["parity"] and report.unproven == ""
    assert (report.size_bytes, report.build_s) == (entry["bytes"], entry["build_s"])
    layers = json.loads((head_folder / "head.engine.layers.json").read_text())
    assert layers["of"] == "the engine" and len(layers["layers"]) == entry["layers"] == report.layers > 10
    assert "head.engine.layers.json" in listed


def test_nothing_is_built_again_that_did_not_change(head_folder: Path, gpu_machine: Machine) -> None:
    trt = gpu_machine()
    forget_weights(head_folder)
    first = build_engine(head_folder, HEAD)
    before = files(head_folder)
    again = build_engine(head_folder, HEAD)
    assert (first.built, again.built) == (True, False) and len(trt.networks) == 1
    assert again.build_s == first.build_s and files(head_folder) == before
    assert build_engine(head_folder, EngineOptions("head", batch_opt=2, batch_max=5)).built
    trt.__version__ = "10.4.0"
    assert build_engine(head_folder, EngineOptions("head", batch_opt=2, batch_max=5)).built


def test_a_graph_that_is_exported_anew_after_the_plan_is_not_built(
    head_folder: Path, gpu_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt, plan_engine = gpu_machine(), engines.plan_engine

    def plans(folder, options):  # type: ignore[no-untyped-def]
        plan = plan_engine(folder, options)
        replace_onnx(head_folder, b"another graph")
        return plan

    monkeypatch.setattr(engines, "plan_engine", plans)
    with pytest.raises(ExportError, match=r"head\.onnx was exported anew just now; build the engine again"):
        build_engine(head_folder, HEAD)
    assert not trt.networks and not (head_folder / "head.engine").exists()


def test_a_damaged_engine_is_built_again(head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine()
    forget_weights(head_folder)
    engine = build_engine(head_folder, HEAD).path
    right = engine.read_bytes()
    engine.write_bytes(right[:-1])
    assert build_engine(head_folder, HEAD).built and engine.read_bytes() == right


def test_an_engine_that_came_unproven_is_proven_where_that_can_be_done(head_folder: Path, gpu_machine: Machine) -> None:
    device = ("NVIDIA GeForce RTX 3080", "8.6")
    trt = gpu_machine("1.7.1.116", device, name="tensorrt_rtx")
    trt.cuda.devices.clear()
    options = EngineOptions("head", toolchain="rtx")
    first = build_engine(head_folder, options)
    assert first.parity is None and "no CUDA device" in first.unproven
    assert json.loads((head_folder / "head.rtx.engine.layers.json").read_text())["of"].startswith("the network")
    assert not build_engine(head_folder, options).built
    gpu_machine("1.7.1.116", device, name="tensorrt_rtx")
    second = build_engine(head_folder, options)
    assert second.plan.key == first.plan.key and second.parity is not None and second.parity["failure"] == ""
    assert not build_engine(head_folder, options).built


def test_an_engine_that_cannot_run_on_this_gpu_is_built_and_not_compared(
    head_folder: Path, gpu_machine: Machine
) -> None:
    gpu_machine("1.7.1.116", ("NVIDIA H200", "9.0"), name="tensorrt_rtx")
    report = build_engine(head_folder, EngineOptions("head", toolchain="rtx"))
    assert report.parity is None and "this device has 9.0" in report.unproven
    gpu_machine(package="none")
    report = build_engine(head_folder, HEAD)
    assert report.parity is None and "'cuda-bindings'" in report.unproven


def test_an_engine_that_answers_otherwise_is_not_kept(head_folder: Path, gpu_machine: Machine) -> None:
    gpu_machine()
    build_engine(head_folder, HEAD)
    shift_scores(head_folder, "head.onnx")
    (head_folder / TIMING_CACHE).unlink()
    before = files(head_folder)
    with pytest.raises(ExportError, match=r"the head graph in fp32 was not kept: .*max_score is"):
        build_engine(head_folder, HEAD)
    after = files(head_folder)
    assert all(after[name] == content for name, content in before.items() if name != "manifest.json")
    assert manifest(head_folder)["head.engine"]["sha256"] == sha256(head_folder / "head.engine")


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_truncated_graph_is_one_clear_line(head_folder: Path, gpu_machine: Machine, damage: str) -> None:
    gpu_machine()
    forget_weights(head_folder)
    build_engine(head_folder, HEAD)
    engine = (head_folder / "head.engine").read_bytes()
    content = (head_folder / "head.onnx").read_bytes()
    replace_onnx(head_folder, content[: len(content) // 2] if damage == "cut" else b"not a graph")
    with pytest.raises(ExportError, match=r"TensorRT cannot read head\.onnx: MODEL_DESERIALIZE_FAILED") as caught:
        build_engine(head_folder, HEAD)
    assert "\n" not in str(caught.value)
    assert (head_folder / "head.engine").read_bytes() == engine


def test_a_graph_of_another_model_is_refused_before_the_build(head_folder: Path, gpu_machine: Machine) -> None:
    trt = gpu_machine()
    model = onnx.load(head_folder / "head.onnx")
    model.graph.output[0].name = "probabilities"
    replace_onnx(head_folder, model.SerializeToString())
    with pytest.raises(ExportError, match=r"head\.onnx must have the outputs .*scores.*probabilities.*export it again"):
        build_engine(head_folder, HEAD)
    assert trt.settings == []


def test_a_build_that_fails_gives_tensorrts_reason(head_folder: Path, gpu_machine: Machine) -> None:
    trt = gpu_machine()
    trt.refuse.add("build_serialized_network")
    before = files(head_folder)
    with pytest.raises(ExportError, match=r"TensorRT cannot build head\.engine from head\.onnx: Could not find any"):
        build_engine(head_folder, HEAD)
    assert files(head_folder) == before


@pytest.mark.parametrize("name", [TIMING_CACHE, "head.engine.layers.json", "head.engine"])
def test_a_full_disk_leaves_the_earlier_engine(
    head_folder: Path, gpu_machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    gpu_machine()
    forget_weights(head_folder)
    build_engine(head_folder, HEAD)
    engine, method = (head_folder / "head.engine").read_bytes(), "write_text" if "json" in name else "write_bytes"
    write = getattr(Path, method)

    def full(path: Path, content: Any, **options: Any) -> None:
        write(path, content[:10] if path.name == name else content, **options)
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ModelFolderError, match=rf"{name}' cannot be written: No space"):
        patch.setattr(Path, method, full)
        build_engine(head_folder, EngineOptions("head", batch_max=9))
    assert (head_folder / "head.engine").read_bytes() == engine
    assert manifest(head_folder)["head.engine"]["sha256"] == sha256(head_folder / "head.engine")
    assert [path.name for path in head_folder.glob(".*")] == [LOCK]


def test_the_timing_cache_is_kept_and_given_to_the_next_build(head_folder: Path, gpu_machine: Machine) -> None:
    trt = gpu_machine()
    forget_weights(head_folder)
    build_engine(head_folder, HEAD)
    assert ModelFolder.open(head_folder).read(TIMING_CACHE) == b"Orin|1"
    build_engine(head_folder, EngineOptions("head", batch_max=9))
    assert ModelFolder.open(head_folder).read(TIMING_CACHE) == b"Orin|2"
    assert trt.settings[1].cache.entries == 2


@pytest.mark.parametrize("why", ["another device", "damaged"])
def test_a_timing_cache_that_does_not_fit_is_dropped_with_a_warning(
    head_folder: Path, gpu_machine: Machine, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    gpu_machine()
    forget_weights(head_folder)
    build_engine(head_folder, HEAD)
    device = "Orin"
    if why == "another device":
        device = "Orin Nano"
        gpu_machine("10.3.0", (device, "8.7"))
    else:
        (head_folder / TIMING_CACHE).write_bytes(b"???")
    assert build_engine(head_folder, EngineOptions("head", batch_max=9)).built
    assert "timing cache" in caplog.text and "starts anew" in caplog.text
    assert ModelFolder.open(head_folder).read(TIMING_CACHE) == f"{device}|1".encode()
