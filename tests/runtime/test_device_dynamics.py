"""Streams whose maps stay on the device, against a fake one: the same scores, in the right order, and nothing lost."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_cuda import CudaError
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.deploy import EngineOptions, build_engine
from mdhr_sdk.deploy.engines import build as engines
from mdhr_sdk.errors import BackendError, InputError
from mdhr_sdk.model import load_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.ops.views import CPU, on_cpu, view_of
from mdhr_sdk.runtime import SessionOptions, open_session, open_streams
from mdhr_sdk.runtime.backends import tensorrt as tensorrt_session
from mdhr_sdk.runtime.cuda.devices import CudaDevice
from mdhr_sdk.runtime.stream import device_rings as device_dynamics
from mdhr_sdk.runtime.stream.scorer import StreamScorer
from streams import SETTLED, T, expected, open_scorer, streamed, video

GRAPHS = ("encoder", "relations", "temporal")


@pytest.fixture
def machine(
    small_onnx_folder: Path, tmp_path: Path, gpu_machine: Callable[..., FakeTensorRT], monkeypatch: pytest.MonkeyPatch
) -> tuple[FakeTensorRT, ModelFolder]:
    """A GPU, and engines for it of up to four frames. Its memory is the host's, so that kernels can run there."""
    trt = gpu_machine()
    folder = Path(shutil.copytree(small_onnx_folder, tmp_path / "model"))
    monkeypatch.setattr(engines, "_why_unproven", lambda *_: "not the matter here")
    for graph in GRAPHS:
        build_engine(folder, EngineOptions(graph, "fp32", 1, 1, 4, toolchain="tensorrt"))
    monkeypatch.setattr(device_dynamics, "has_cuda_kernels", lambda: True)
    for module in (tensorrt_session, device_dynamics):
        monkeypatch.setattr(module, "open_memory", _on_the_host(module.open_memory))
    monkeypatch.setattr(device_dynamics, "fuse_dynamics_step", _in_order(trt, device_dynamics.fuse_dynamics_step))
    return trt, ModelFolder.open(folder)


def _on_the_host(real: Callable[[int], Any]) -> Callable[[int], Any]:
    def open_memory(index: int) -> Any:
        memory = real(index)
        memory.number = CPU if index == 0 else index
        return memory

    return open_memory


def _in_order(trt: FakeTensorRT, real: Callable[..., Any]) -> Callable[..., Any]:
    def step(*arguments: Any, stream: int, **more: Any) -> Any:
        trt.cuda.wait(stream)  # which a kernel would, too
        return real(*arguments, **more)

    return step


def scorer_on(folder: ModelFolder, lookahead: int = SETTLED, **more: Any) -> StreamScorer:
    return StreamScorer(open_streams(folder, "tensorrt", SessionOptions("cuda")), lookahead, **more)


def told(scores: list[Any]) -> dict[tuple[Any, int], np.ndarray]:
    return {(score.key, score.frame): score.scores for score in scores}


def same(got: list[Any], want: list[Any]) -> None:
    here, there = told(got), told(want)
    assert list(here) == list(there)
    for key, scores in here.items():
        np.testing.assert_allclose(scores, there[key], atol=1e-5, err_msg=str(key))


@pytest.mark.slow
def test_scores_are_the_clip_models_and_no_map_comes_to_the_host(machine) -> None:
    _, folder = machine
    frames = video(2 * T + 3)
    scorer = scorer_on(folder)
    assert scorer.place == "cuda:0"
    scores = [score.scores for score in streamed(scorer, frames)]
    np.testing.assert_allclose(scores, expected(load_model(folder), frames, SETTLED), atol=1e-5)
    pinned = scorer.graphs.encoder._engine.outputs  # type: ignore[attr-defined]
    assert np.isfinite(pinned["static"][0]).all()
    assert all(np.isnan(array).all() for name, array in pinned.items() if name != "static"), "what was never copied"


@pytest.mark.parametrize("ring_dtype", ["float32", "float16", "bfloat16"])
def test_streams_that_come_and_go_answer_as_on_the_host(machine, ring_dtype: str) -> None:
    _, folder = machine
    device = scorer_on(folder, ring_dtype=ring_dtype)
    host = open_scorer(folder, "onnxruntime", SETTLED, ring_dtype=ring_dtype)
    assert host.place == "the host: the encoder runs on 'cpu'"
    films = [video(4 * T, seed=seed) for seed in range(20)]  # more than a call of the engine takes, and of the kernel
    spans = [range(seed % 5, 3 * T - seed) for seed in range(20)]
    for t in range(3 * T):
        going = {seed: films[seed][t] for seed in range(20) if t in spans[seed]}
        gone = [seed for seed in range(20) if t == spans[seed].stop]
        same(device.push(going), host.push(going))
        same(device.finish(gone), host.finish(gone))
    same(device.finish(), host.finish())


@pytest.mark.slow
def test_a_ring_that_is_forgotten_gives_its_memory_and_nothing_else_to_the_next(machine) -> None:
    trt, folder = machine
    scorer = scorer_on(folder)
    first = streamed(scorer, video(T + 4), "first")
    held = len(trt.cuda.live)
    for _ in range(3):
        scorer.push({"cut": video(1, seed=8)[0]})
        scorer.discard()
        gc.collect()
        same(streamed(scorer, video(T + 4), "first"), first)
        gc.collect()
    assert len(trt.cuda.live) == held
    scorer.graphs.close()
    del scorer
    gc.collect()
    assert trt.cuda.left == 0


def test_features_that_were_encoded_elsewhere_are_brought_there(machine) -> None:
    _, folder = machine
    device, host = scorer_on(folder), open_scorer(folder, "onnxruntime", SETTLED)
    for t in range(2 * T):
        features = host.graphs.encoder.run({"frames": np.stack([video(2 * T, seed=seed)[t] for seed in range(18)])})
        same(device.push_features(range(18), features), host.push_features(range(18), features))
    same(device.finish(), host.finish())


def test_a_step_that_fails_ends_its_streams_and_no_others(machine) -> None:
    trt, folder = machine
    scorer, frames = scorer_on(folder), video(T + 4)
    wanted = streamed(scorer, frames, "good")
    due = [score for frame in frames[:5] for score in scorer.push({"good": frame})]
    scorer.push({"bad": frames[0]})
    trt.cuda.fail["cudaStreamSynchronize"] = CudaError.cudaErrorMemoryAllocation
    with pytest.raises(BackendError, match="cudaStreamSynchronize"):
        scorer.push({"bad": frames[1]})
    trt.refuse.add("execute_async_v3")
    with pytest.raises(BackendError, match="execute_async_v3"):
        scorer.push({"new": frames[1]})
    trt.refuse.clear()
    assert "good" in scorer.keys and "new" not in scorer.keys
    due += [score for frame in frames[5:] for score in scorer.push({"good": frame})]
    same(due + scorer.finish(["good"]), wanted)


@pytest.mark.parametrize(
    ("lookahead", "broken", "why"),
    [
        (0, {}, "lookahead 0 relates frames more than once"),
        (SETTLED, {"has_cuda_kernels": lambda: False}, "built without CUDA"),
        (SETTLED, {"cuda_device": lambda _: CudaDevice("T4", "7.5")}, "need compute capability 8.0; the device is"),
        (SETTLED, {"cuda_device": lambda _: CudaDevice("vGPU", "8.0", False)}, "vGPU cannot allocate"),
        (SETTLED, {"memory_obstacle": lambda: "no cuda-bindings"}, "no cuda-bindings"),
    ],
)
def test_what_goes_by_the_host_says_why_and_answers_the_same(
    machine, monkeypatch: pytest.MonkeyPatch, lookahead: int, broken: dict[str, Any], why: str
) -> None:
    _, folder = machine
    for name, value in broken.items():
        monkeypatch.setattr(device_dynamics, name, value)
    scorer = scorer_on(folder, lookahead)
    assert scorer.place.startswith("the host: ") and why in scorer.place
    same(streamed(scorer, video(T + 2)), streamed(open_scorer(folder, "onnxruntime", lookahead), video(T + 2)))


def test_an_engine_of_one_batch_keeps_what_is_asked_for_also_in_its_cuda_graph(machine) -> None:
    _, folder = machine
    build_engine(folder.path, EngineOptions("encoder", "fp32", 2, 2, 2, toolchain="tensorrt"))
    (session, _) = open_session(ModelFolder.open(folder.path), "tensorrt", SessionOptions("cuda"), "encoder")
    frames, names = video(6), ["map_1", "map_3"]
    wanted = session.run({"frames": frames})
    for kept in (names, [], names):
        for part in session.run_kept({"frames": frames}, kept):
            found = {**part.arrays, **dict(zip(part.kept, _read(part.kept.values()), strict=True))}
            assert set(part.kept) == set(kept) and set(found) == set(wanted)
            for name, array in found.items():
                np.testing.assert_array_equal(array, wanted[name][part.rows])
    np.testing.assert_array_equal(session.run({"frames": frames})["map_1"], wanted["map_1"])


def test_onnxruntime_binds_what_is_kept(small_onnx_folder: Path) -> None:
    """On the CPU: of its memory there, only the address is another."""
    session, _ = open_session(
        ModelFolder.open(small_onnx_folder), "onnxruntime", SessionOptions("cpu", threads=1), "encoder"
    )
    assert session.keeps_outputs
    frames = {"frames": video(5)}
    wanted = session.run(frames)
    for kept in (["map_2", "map_1"], list(wanted), []):
        for part in session.run_kept(frames, kept):
            assert list(part.kept) == kept and part.rows == slice(0, 5) and {*part.arrays, *kept} == set(wanted)
            for name, array in [*part.arrays.items(), *zip(kept, _read(part.kept.values()), strict=True)]:
                np.testing.assert_array_equal(array, wanted[name])
    with pytest.raises(InputError, match=r"got \['map_9'\]"):
        list(session.run_kept(frames, ["map_9"]))
    with pytest.raises(InputError, match="frames"):
        list(session.run_kept({"frames": video(5)[..., :8]}, ["map_1"]))
    session.close()
    with pytest.raises(InputError, match="closed"):
        list(session.run_kept(frames, []))


def _read(arrays: Any) -> list[np.ndarray]:
    return on_cpu([view_of(array, "kept") for array in arrays])
