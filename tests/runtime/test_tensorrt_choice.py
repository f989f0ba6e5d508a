"""When an engine is taken, when it is passed over, and when it is refused; each with its reason and remedy."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from engine_helpers import ORIN, RTX, backend_of, batch_of, open_head, vouch
from mdhr_sdk.deploy import ParityReport, verify
from mdhr_sdk.errors import BackendError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session

MOVED = [
    pytest.param("tensorrt", ("10.7.0", ORIN), r"for the version '10\.3\.0', and this is '10\.7\.0'", id="version"),
    pytest.param("tensorrt", ("10.3.0", ("Orin Nano", "8.7")), r"for the device 'Orin', .* 'Orin Nano'", id="device"),
    pytest.param(
        "tensorrt_rtx",
        ("1.7.1.116", ("Tesla T4", "7.5")),
        r"for the compute capabilities 8\.6, 12\.0, .* 7\.5",
        id="GPU",
    ),
    pytest.param("tensorrt_rtx", ("1.8.0", RTX), r"for the version '1\.7\.1\.116'", id="RTX version"),
]


@pytest.mark.parametrize(("name", "there", "reason"), MOVED)
def test_an_engine_of_another_machine_is_one_clear_line(built, gpu_machine, name: str, there, reason: str) -> None:
    _, folder = built(name, "1.7.1.116" if "rtx" in name else "10.3.0")
    gpu_machine(*there, name=name)
    with pytest.raises(BackendError, match=rf"cannot run here: it was built {reason}.*build_engine\.py") as caught:
        open_head(folder, backend_of(name))
    assert "\n" not in str(caught.value)
    assert ("--toolchain rtx" in str(caught.value)) == ("rtx" in name)


def test_an_rtx_engine_moves_between_devices(built, gpu_machine) -> None:
    _, folder = built("tensorrt_rtx", "1.7.1.116")
    gpu_machine("1.7.1.116", ("NVIDIA GeForce RTX 5090", "12.0"), name="tensorrt_rtx_bindings")
    assert open_head(folder, "tensorrt-rtx").run(batch_of(open_head(folder, "tensorrt-rtx"), 1))


def test_auto_takes_an_engine_first_once_it_is_proven(built, head_folder: Path) -> None:
    _, folder = built(proven=True)
    session, line = open_session(ModelFolder.open(folder), graph="head")
    assert session.backend == "tensorrt" and line.startswith("tensorrt fp32 on cuda; not tensorrt: the folder has no ")
    assert "--precision fp16" in line, "fp16 comes first on CUDA, and is not there"


def test_auto_passes_over_an_engine_that_was_never_compared(built) -> None:
    _, folder = built()
    session, line = open_session(ModelFolder.open(folder), graph="head")
    assert session.backend == "onnxruntime"
    assert f"not tensorrt: head.engine was never compared with the weights (mdhr verify {folder}" in line
    assert open_head(folder).backend == "tensorrt", "named, it runs"
    options = SessionOptions(unproven=True)
    assert open_session(ModelFolder.open(folder), options=options, graph="head")[0].backend == "tensorrt"


def test_verify_proves_an_engine_and_auto_takes_it_from_then_on(built, tiny_onnx_folder: Path) -> None:
    _, folder = built()
    shutil.copy(tiny_onnx_folder / "model.safetensors", folder / "model.safetensors")
    reports = dict(verify(folder))
    assert isinstance(reports["head.engine"], ParityReport) and not reports["head.engine"].failure
    assert open_session(ModelFolder.open(folder), graph="head")[0].backend == "tensorrt"


def test_verify_says_of_an_engine_why_it_cannot_run_here(built, gpu_machine, tiny_onnx_folder: Path) -> None:
    _, folder = built()
    shutil.copy(tiny_onnx_folder / "model.safetensors", folder / "model.safetensors")
    gpu_machine("10.7.0")
    assert "it was built for the version '10.3.0', and this is '10.7.0'" in str(dict(verify(folder))["head.engine"])
    gpu_machine(name="tensorrt_rtx")
    assert "TensorRT (Python package 'tensorrt') is not installed" in str(dict(verify(folder))["head.engine"])


def test_an_engine_known_to_answer_wrongly_never_runs(built) -> None:
    _, folder = built()
    vouch(folder, "head.engine", parity={"failure": "max_score is 0.3, more than 1e-05"})
    with pytest.raises(BackendError, match=r"does not answer like the weights: max_score is 0\.3"):
        open_head(folder)


def test_a_stale_engine_is_refused(built, tiny_onnx_folder: Path) -> None:
    _, folder = built()
    shutil.copy(tiny_onnx_folder / "model.safetensors", folder / "model.safetensors")
    (folder / "model.safetensors").write_bytes(b"other")
    vouch(folder, "model.safetensors")
    with pytest.raises(BackendError, match=r"head\.engine was made from other weights"):
        open_head(folder)


def test_each_thing_that_is_missing_is_named_with_its_remedy(head_folder: Path, gpu_machine, monkeypatch) -> None:
    trt = gpu_machine()
    line = r"no head\.engine \(python export/build_engine\.py .*head --graph head --precision fp32\)"
    with pytest.raises(BackendError, match=line):
        open_head(head_folder)
    with pytest.raises(BackendError, match=r"'cuda:3' was asked for and there are 1 CUDA devices"):
        open_head(head_folder, device="cuda:3")
    with pytest.raises(BackendError, match=r"it runs on cuda, not on 'cpu'"):
        open_head(head_folder, device="cpu")
    with pytest.raises(BackendError, match=r"it runs fp32, fp16, int8, not bf16"):
        open_head(head_folder, precision="bf16")
    with pytest.raises(BackendError, match=r"TensorRT-RTX .* is not installed; .*pip install -e '\.\[rtx\]'"):
        open_head(head_folder, "tensorrt-rtx")
    gpu_machine(package="none")
    with pytest.raises(BackendError, match=r"neither the package 'cuda-bindings' nor 'pycuda'"):
        open_head(head_folder)
    trt.cuda.devices.clear()
    gpu_machine().cuda.devices.clear()
    with pytest.raises(BackendError, match=r"no CUDA device"):
        open_head(head_folder)


def test_without_a_gpu_nobody_hears_of_tensorrt(tiny_onnx_folder: Path, gpu_machine) -> None:
    gpu_machine().cuda.devices.clear()
    for device in ("auto", "cpu"):
        _, line = open_session(ModelFolder.open(tiny_onnx_folder), options=SessionOptions(device), graph="head")
        assert line == "onnxruntime fp32 on cpu"


def test_a_tensorrt_that_does_not_load_is_passed_over_with_its_reason(built, tmp_path: Path, monkeypatch) -> None:
    _, folder = built(proven=True)
    monkeypatch.delitem(sys.modules, "tensorrt")
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    session, line = open_session(ModelFolder.open(folder), graph="head")
    assert session.backend == "onnxruntime"
    assert "not tensorrt: TensorRT is installed and does not load: libnvinfer.so.10: cannot open" in line
