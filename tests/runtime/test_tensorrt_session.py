"""TensorRT sessions, against fakes that stop at wrong orders and lifetimes: answers, shapes, graphs, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_helpers import backend_of, batch_of, open_head, vouch, wanted
from fake_cuda import CudaError
from mdhr_sdk.errors import BackendError, InputError, ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS, SessionOptions
from mdhr_sdk.runtime.session import check_inputs

KINDS = [
    pytest.param("tensorrt", "10.3.0", "cuda.cudart", id="TensorRT 10, older cuda-python"),
    pytest.param("tensorrt", "10.13.3", "pycuda.driver", id="TensorRT 10, pycuda"),
    pytest.param("tensorrt", "11.4.0", "cuda.bindings.runtime", id="TensorRT 11"),
    pytest.param("tensorrt_rtx", "1.7.1.116", "cuda.bindings.runtime", id="TensorRT-RTX"),
]


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
    assert trt.cuda.log == ["cudaSetDevice", "cudaGraphLaunch", "cudaStreamSynchronize"] * 3


def test_an_engine_of_many_batches_is_queued_anew_and_allocates_nothing(built) -> None:
    trt, folder = built(batches=(1, 1, 4))
    session = open_head(folder)
    trt.cuda.log.clear()
    for size in (1, 3, 9):
        session.run(batch_of(session, size))
    assert set(trt.cuda.log) == {"cudaSetDevice", "cudaMemcpyAsync", "cudaStreamSynchronize"}


@pytest.mark.parametrize(("name", "version", "package"), KINDS)
@pytest.mark.parametrize("batches", [(1, 1, 4), (2, 2, 2)])
def test_where_host_and_device_share_their_memory_nothing_is_copied(built, name, version, package, batches) -> None:
    trt, folder = built(name, version, package, batches=batches)
    trt.cuda.integrated = True
    session = open_head(folder, backend_of(name))
    for size in (1, 5, 2):
        inputs = batch_of(session, size, seed=size)
        for key, value in wanted(folder, inputs).items():
            np.testing.assert_allclose(session.run(inputs)[key], value, atol=1e-5)
    assert not {"cudaMemcpyAsync", "cudaMalloc"} & set(trt.cuda.log)
    session.close()
    assert trt.cuda.left == 0


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


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ("create_execution_context", "TensorRT has no memory"),
        ("set_tensor_address", "TensorRT refused"),
        ("cudaMalloc", "cudaMalloc failed: cudaErrorMemoryAllocation"),
    ],
)
def test_an_engine_that_does_not_start_leaves_nothing_behind(built, refused: str, reason: str) -> None:
    trt, folder = built()
    if refused == "cudaMalloc":
        trt.cuda.fail[refused] = CudaError.cudaErrorMemoryAllocation
    trt.refuse.add(refused)
    with pytest.raises(BackendError, match=reason) as caught:
        BACKENDS["tensorrt"].open_graph(ModelFolder.open(folder), "head", SessionOptions("cuda", precision="fp32"))
    assert trt.cuda.left == 0, f"also while someone holds {caught.value!r}"


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


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_bytes_that_are_no_engine_are_a_folder_error(built, damage: str, monkeypatch) -> None:
    trt, folder = built()
    engine = folder / "head.engine"
    engine.write_bytes(engine.read_bytes()[:30] if damage == "cut" else b"not an engine")
    with monkeypatch.context() as patch, pytest.raises(ModelFolderError, match=r"SHA-256"):
        patch.setattr(trt, "Runtime", None)  # nothing is deserialised that the manifest does not vouch for
        open_head(folder)
    vouch(folder, "head.engine")
    with pytest.raises(BackendError, match=r"TensorRT cannot load .*head\.engine.*kEXPECTED_MAGIC_TAG") as caught:
        open_head(folder)
    assert "\n" not in str(caught.value)
