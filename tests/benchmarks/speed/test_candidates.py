"""What is measured when nothing, a backend, a precision or both are named."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.speed.candidates import BASELINE, Candidate, Settings, plan, runnable
from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import BackendError
from mdhr_sdk.modelfolder.artefacts import PRECISIONS
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS

CPU = [name for name, module in BACKENDS.items() if "cpu" in module.devices]


@pytest.fixture
def folder(tiny_onnx_folder: Path) -> ModelFolder:
    return ModelFolder.open(tiny_onnx_folder)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in packages else find_spec(name, *a))


@pytest.mark.slow
def test_everything_that_can_run_is_measured_after_the_baseline(folder: ModelFolder) -> None:
    found = plan(folder, Settings())
    assert next(iter(found)) == BASELINE
    runs = {candidate for candidate, reason in found.items() if reason is None}
    assert runs >= {BASELINE, *(Candidate(name) for name in ("onnxruntime", "openvino", "torchscript", "torch"))}
    assert {c.backend for c in found} == {BASELINE.backend, *BACKENDS}
    assert all(sum(c.backend == name for c in found) == 1 for name in BACKENDS if Candidate(name) not in runs)


def test_a_missing_package_is_a_row_with_the_reason(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino", "torch")
    found = plan(folder, Settings())
    assert found[Candidate("onnxruntime")] is None
    assert "'openvino' is not installed" in str(found[Candidate("openvino")])
    for candidate in (BASELINE, Candidate("torch"), Candidate("torchscript")):
        assert "'torch' is not installed" in str(found[candidate])


def test_a_missing_graph_is_a_row_with_the_remedy(tiny_folder: Path) -> None:
    found = plan(ModelFolder.open(tiny_folder), Settings())
    assert found[Candidate("torch")] is None
    assert f"mdhr export {tiny_folder} --format onnx --graph clip" in str(found[Candidate("onnxruntime")])


@pytest.fixture
def bytes_folder(tmp_path: Path) -> ModelFolder:
    """Weights, the encoder from floats in fp32 and from bytes in fp16: names only, since nothing is loaded."""
    made = ModelFolder.create(tmp_path / "model", FolderConfig(ModelConfig(label_set("disfa"))))
    for name in ("model.safetensors", "encoder.onnx", "head.onnx", "encoder_u8.fp16.onnx"):
        with made.writing(name, {}) as path:
            path.write_bytes(name.encode())
    return made


def test_graphs_that_take_bytes_are_rows_where_they_were_exported(bytes_folder: ModelFolder) -> None:
    folder = bytes_folder
    found = plan(folder, Settings("encoder"))
    bytes_in = [candidate for candidate in found if candidate.bytes_in]
    assert bytes_in == [Candidate("onnxruntime", "fp16", bytes_in=True)] and found[bytes_in[0]] is None
    assert Settings("encoder").graph_of(bytes_in[0]) == "encoder_u8" and str(bytes_in[0]) == "onnxruntime fp16 uint8"
    assert not [candidate for candidate in plan(folder, Settings("head")) if candidate.bytes_in]


def test_a_graph_of_bytes_that_was_named_is_measured_beside_the_baseline_of_floats(bytes_folder: ModelFolder) -> None:
    settings = Settings("encoder_u8")
    found = plan(bytes_folder, settings)
    assert next(iter(found)) == BASELINE and settings.graph_of(BASELINE) == "encoder"
    assert all(candidate.bytes_in for candidate in found if candidate != BASELINE)
    assert found[Candidate("onnxruntime", "fp16", True)] is None and found[Candidate("torch", "fp32", True)] is None
    assert "--graph encoder_u8" in str(found[Candidate("torchscript", "fp32", True)])


def test_a_head_needs_its_encoder_too(folder: ModelFolder) -> None:
    found = plan(folder, Settings("head"))
    assert found[BASELINE] is None and found[Candidate("onnxruntime")] is None
    assert "no encoder.torchscript.pt" in str(found[Candidate("torchscript")])


def test_a_backend_that_was_named_must_run(tiny_folder: Path, folder: ModelFolder) -> None:
    with pytest.raises(BackendError, match=r"onnxruntime fp32 cannot be measured here: .*mdhr export"):
        plan(ModelFolder.open(tiny_folder), Settings(), ["onnxruntime"])
    assert set(plan(folder, Settings(), ["torch"])) == {BASELINE, Candidate("torch")}


def test_a_precision_that_was_named_is_a_row_for_everyone(folder: ModelFolder) -> None:
    found = plan(folder, Settings(), precisions=["fp32", "bf16"])
    assert found[Candidate("torch")] is None
    assert "not bf16" in str(found[Candidate("torch", "bf16")])
    with pytest.raises(BackendError, match=r"no backend can run int8 here: .*; onnxruntime int8: "):
        plan(folder, Settings(), precisions=["int8"])


def test_a_pair_that_was_named_must_run(folder: ModelFolder) -> None:
    with pytest.raises(BackendError, match=r"torch bf16 cannot be measured here: it runs fp32, not bf16"):
        plan(folder, Settings(), ["torch"], ["fp32", "bf16"])


def test_what_can_run_is_without_the_baseline_and_graphs_of_bytes(tiny_folder: Path, bytes_folder: ModelFolder) -> None:
    assert runnable(ModelFolder.open(tiny_folder), Settings("encoder")) == [Candidate("torch")]
    assert not any(one.bytes_in for one in runnable(bytes_folder, Settings("encoder")))
    with pytest.raises(BackendError, match=r"onnxruntime fp32 cannot be measured here: .*no encoder\.onnx"):
        runnable(ModelFolder.open(tiny_folder), Settings("encoder"), ["onnxruntime"])
    (bytes_folder.path / "model.safetensors").unlink()
    with pytest.raises(BackendError, match=r"no backend can run clip of .* here: .*; torch fp32: "):
        runnable(bytes_folder, Settings())


def test_no_backend_is_moved_to_another_device(folder: ModelFolder) -> None:
    with pytest.raises(BackendError, match=r"openvino fp32 cannot be measured here: it runs on cpu, not on 'cuda'"):
        plan(folder, Settings(device="cuda"), ["openvino"])


@pytest.mark.parametrize(
    ("backends", "precisions", "message"),
    [
        (["tensorflow"], [], "unknown backend 'tensorflow'; expected some of tensorrt, tensorrt-rtx, onnxruntime, "),
        (["released"], [], "unknown backend 'released'"),
        ([], ["fp64"], f"unknown precision 'fp64'; expected some of {', '.join(PRECISIONS)}"),
        ([], ["auto"], "unknown precision 'auto'"),
    ],
)
def test_unknown_names(folder: ModelFolder, backends: list[str], precisions: list[str], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        plan(folder, Settings(), backends, precisions)
