"""TensorRT sessions, against fakes that stop at wrong orders and lifetimes: answers, shapes, graphs, errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_cuda import CudaError
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.deploy import EngineOptions, build_engine
from mdhr_sdk.errors import BackendError, InputError, ModelFolderError
from mdhr_sdk.folder import ModelFolder, sha256
from mdhr_sdk.runtime import BACKENDS, Session, SessionOptions, open_session
from mdhr_sdk.runtime.base import check_inputs

KINDS = [
    pytest.param("tensorrt", "10.3.0", "cuda.cudart", id="TensorRT 10, older cuda-python"),
    pytest.param("tensorrt", "10.13.3", "pycuda.driver", id="TensorRT 10, pycuda"),
    pytest.param("tensorrt", "11.4.0", "cuda.bindings.runtime", id="TensorRT 11"),
    pytest.param("tensorrt_rtx", "1.7.1.116", "cuda.bindings.runtime", id="TensorRT-RTX"),
]
ORIN = ("Orin", "8.7")
RTX = ("NVIDIA GeForce RTX 3080", "8.6")


def batch_of(session: Session, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of a session."""
    rng = np.random.default_rng(seed)
    shapes = {spec.name: (size, *(n or 0 for n in spec.shape[1:])) for spec in session.inputs}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def built(head_folder: Path, gpu_machine: Callable[..., FakeTensorRT]) -> Callable[..., tuple[FakeTensorRT, Path]]:
    """Makes a machine and a folder whose head engine was built on it, without the parity run unless it is asked for."""

    def make(
        name: str = "tensorrt", version: str = "10.3.0", package: str = "cuda.bindings.runtime", *,
        batches: tuple[int, int, int] = (1, 1, 8), proven: bool = False,
    ) -> tuple[FakeTensorRT, Path]:  # fmt: skip
        trt = gpu_machine(version, RTX if "rtx" in name else ORIN, name=name, package=package)
        weights = head_folder / "model.safetensors"
        if not proven and weights.exists():
            weights.unlink()
        toolchain = "rtx" if "rtx" in name else "tensorrt"
        build_engine(head_folder, EngineOptions("head", "fp32", *batches, toolchain=toolchain))
        return trt, head_folder

    return make


def open_head(folder: Path, backend: str = "tensorrt", device: str = "cuda", precision: str = "fp32") -> Session:
    return open_session(ModelFolder.open(folder), backend, SessionOptions(device, precision=precision), "head")[0]


def wanted(folder: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime says."""
    session, _ = open_session(ModelFolder.open(folder), "onnxruntime", SessionOptions("cpu", threads=1), "head")
    return session.run(inputs)


def backend_of(name: str) -> str:
    return name.replace("_", "-")


@pytest.mark.parametrize(("name", "version", "package"), KINDS)
@pytest.mark.parametrize("batches", [(1, 1, 4), (2, 2, 2), (1, 1, 1), (3, 4, 5)])
def test_every_batch_answers_like_onnxruntime(built, name: str, version: str, package: str, batches) -> None:
    trt, folder = built(name, version, package, batches=batches)
    session = open_head(folder, backend_of(name))
    assert (session.backend, session.device, session.precision) == (backend_of(name), "cuda", "fp32")
    assert session.batch == batches
    for size in (1, 2, 5, 7, 2):
        inputs = batch_of(session, size, seed=size)
        before = {key: value.copy() for key, value in inputs.items()}
        got = session.run(inputs)
        assert list(got) == [spec.name for spec in session.outputs]
        for key, value in wanted(folder, inputs).items():
            assert got[key].dtype == np.float32
            np.testing.assert_allclose(got[key], value, atol=1e-5)
        assert all(np.array_equal(inputs[key], before[key]) for key in inputs), "the input is the caller's"
    session.close()
    session.close()
    assert trt.cuda.left == 0
    with pytest.raises(InputError, match="closed"):
        session.run(inputs)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bounds=st.lists(st.integers(1, 6), min_size=3, max_size=3).map(sorted),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_any_profile_takes_any_batches(built, bounds: list[int], sizes: list[int]) -> None:
    _, folder = built(batches=tuple(bounds))
    session = open_head(folder)
    for size in sizes:
        inputs = batch_of(session, size, seed=size)
        np.testing.assert_allclose(session.run(inputs)["scores"], wanted(folder, inputs)["scores"], atol=1e-5)
    session.close()


def test_rows_that_fill_a_batch_up_are_copies_of_the_last(built) -> None:
    _, folder = built(batches=(4, 4, 4))
    session: Any = open_head(folder)
    inputs = batch_of(session, 2)
    session.run(inputs)
    for name, pinned in session._engine.inputs.items():
        assert np.array_equal(pinned, inputs[name][[0, 1, 1, 1]])


def test_what_was_answered_is_the_callers_to_keep(built) -> None:
    _, folder = built()
    session = open_head(folder)
    first = session.run(batch_of(session, 2, seed=1))
    kept = {key: value.copy() for key, value in first.items()}
    session.run(batch_of(session, 2, seed=2))
    session.close()
    assert all(np.array_equal(first[key], kept[key]) for key in kept)


def test_views_and_read_only_arrays_are_taken(built) -> None:
    _, folder = built()
    session = open_head(folder)
    inputs = batch_of(session, 3)
    right = session.run(inputs)["scores"]
    views = {key: np.asfortranarray(value) for key, value in inputs.items()}
    views["static"] = np.ascontiguousarray(inputs["static"][::-1])[::-1]
    views["static"].flags.writeable = False
    assert np.array_equal(session.run(views)["scores"], right)


def test_what_does_not_fit_is_refused_before_the_device(built) -> None:
    trt, folder = built()
    session = open_head(folder)
    trt.cuda.log.clear()
    inputs = batch_of(session, 1)
    for bad in ({}, {**inputs, "static": inputs["static"].astype(np.float64)}, {**inputs, "map_1": inputs["map_1"][0]}):
        with pytest.raises(InputError) as refused:
            session.run(bad)
        with pytest.raises(InputError) as told:
            check_inputs(session.inputs, bad)
        assert str(refused.value) == str(told.value)
    assert trt.cuda.log == []


def test_a_static_engine_becomes_one_cuda_graph(built) -> None:
    trt, folder = built(batches=(2, 2, 2))
    session = open_head(folder)
    session.run(batch_of(session, 2))
    assert trt.cuda.log.count("cudaStreamBeginCapture") == 1
    trt.cuda.log.clear()
    inputs = batch_of(session, 5, seed=9)
    np.testing.assert_allclose(session.run(inputs)["scores"], wanted(folder, inputs)["scores"], atol=1e-5)
    assert trt.cuda.log == ["cudaSetDevice", *["cudaGraphLaunch", "cudaStreamSynchronize"] * 3]


def test_an_engine_of_many_batches_is_queued_anew_and_allocates_nothing(built) -> None:
    trt, folder = built(batches=(1, 1, 4))
    session = open_head(folder)
    trt.cuda.log.clear()
    for size in (1, 3, 9):
        session.run(batch_of(session, size))
    assert set(trt.cuda.log) == {"cudaSetDevice", "cudaMemcpyAsync", "cudaStreamSynchronize"}


def test_tensorrt_rtx_captures_by_itself(built) -> None:
    trt, folder = built("tensorrt_rtx", "1.7.1.116", batches=(2, 2, 2))
    session: Any = open_head(folder, "tensorrt-rtx")
    session.run(batch_of(session, 2))
    strategy = session._engine._context.config.cuda_graph_strategy
    assert strategy == trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    assert "cudaStreamBeginCapture" not in trt.cuda.log


def test_where_nothing_can_be_captured_it_runs_without(built, caplog: pytest.LogCaptureFixture) -> None:
    trt, folder = built(batches=(2, 2, 2))
    session = open_head(folder)
    trt.refuse.add("capture")
    for seed in range(2):
        inputs = batch_of(session, 2, seed)
        np.testing.assert_allclose(session.run(inputs)["scores"], wanted(folder, inputs)["scores"], atol=1e-5)
    assert "no CUDA graph" in caplog.text and "cudaErrorStreamCaptureInvalidated" in caplog.text
    assert trt.cuda.log.count("cudaStreamBeginCapture") == 1, "tried once"


@pytest.mark.parametrize("refused", ["execute_async_v3", "set_input_shape"])
def test_a_run_that_tensorrt_refuses_is_an_error_with_its_reason(built, refused: str) -> None:
    trt, folder = built()
    session = open_head(folder)
    trt.refuse.add(refused)
    with pytest.raises(BackendError, match=r"TensorRT refused .*: IExecutionContext::"):
        session.run(batch_of(session, 1))
    trt.refuse.clear()
    assert session.run(batch_of(session, 1))["scores"].shape == (1, 4, 12)


@pytest.mark.parametrize("refused", ["create_execution_context", "set_tensor_address"])
def test_an_engine_that_does_not_start_leaves_nothing_behind(built, refused: str) -> None:
    trt, folder = built()
    trt.refuse.add(refused)
    with pytest.raises(BackendError, match="TensorRT") as caught:
        BACKENDS["tensorrt"].open_graph(ModelFolder.open(folder), "head", SessionOptions("cuda", precision="fp32"))
    assert trt.cuda.left == 0, f"also while someone holds {caught.value!r}"


def test_a_device_without_memory_is_an_error_and_leaves_nothing_behind(built) -> None:
    trt, folder = built()
    trt.cuda.fail["cudaMalloc"] = CudaError.cudaErrorMemoryAllocation
    with pytest.raises(BackendError, match="cudaMalloc failed: cudaErrorMemoryAllocation"):
        open_head(folder)
    assert trt.cuda.left == 0


def test_an_engine_with_other_outputs_is_refused(built, tiny_onnx_folder: Path) -> None:
    trt, folder = built()
    engine = folder / "head.engine"
    header = engine.read_bytes().partition(b"\0")[0]
    import onnx

    model = onnx.load(folder / "head.onnx")
    del model.graph.output[-1]
    engine.write_bytes(header + b"\0" + model.SerializeToString())
    vouch(folder, "head.engine")
    with pytest.raises(ModelFolderError, match=r"head\.engine must have the outputs .*region_logits_3.*build it again"):
        open_head(folder)
    assert trt.cuda.left == 0


def vouch(folder: Path, name: str, **entry: Any) -> None:
    """Let the manifest say that the file is what was built."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name].update(entry, sha256=sha256(folder / name))
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_bytes_that_are_no_engine_are_a_folder_error(built, damage: str) -> None:
    _, folder = built()
    engine = folder / "head.engine"
    engine.write_bytes(engine.read_bytes()[:30] if damage == "cut" else b"not an engine")
    with pytest.raises(ModelFolderError, match=r"SHA-256"):
        open_head(folder)
    vouch(folder, "head.engine")
    with pytest.raises(ModelFolderError, match=r"TensorRT cannot load .*head\.engine.*kEXPECTED_MAGIC_TAG") as caught:
        open_head(folder)
    assert "\n" not in str(caught.value)


def test_nothing_is_deserialised_that_the_manifest_does_not_vouch_for(built, monkeypatch) -> None:
    trt, folder = built()
    (folder / "head.engine").write_bytes(b"malicious")
    monkeypatch.setattr(trt, "Runtime", None)
    with pytest.raises(ModelFolderError, match="SHA-256"):
        open_head(folder)


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
