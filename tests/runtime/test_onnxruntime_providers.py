"""ONNX Runtime's providers: asked for by name, with options that keep to the graph, and never replaced."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fake_tensorrt import FakeTensorRT
from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import BackendError, ModelFolderError
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS, SessionOptions, open_session
from mdhr_sdk.runtime.session import graph_specs

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"
CONFIG = FolderConfig(ModelConfig(label_set("disfa"), projection_width=16), clip_length=4)


class FakeOrt(ModuleType):
    """ONNX Runtime as it behaves: a provider that cannot start is left out of the session without a word."""

    def __init__(self, available: tuple[str, ...], starting: tuple[str, ...]) -> None:
        super().__init__("onnxruntime")
        self.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
        self.available, self.starting = available, starting
        self.sessions: list[Any] = []
        self.error: Exception | None = None

    def get_available_providers(self) -> list[str]:
        return list(self.available)

    def SessionOptions(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(add_session_config_entry=lambda *_: None)

    def InferenceSession(  # noqa: N802
        self, content: bytes, settings: Any, providers: list[Any], enable_fallback: int
    ) -> SimpleNamespace:
        if self.error is not None:
            raise self.error
        names = [one if isinstance(one, str) else one[0] for one in providers]
        assert names[-1] == CPU and enable_fallback == 0
        inputs, outputs = (
            [SimpleNamespace(name=one.name, shape=one.shape, type="tensor(float)") for one in specs]
            for specs in graph_specs(CONFIG, "clip", CONFIG.clip_length)
        )
        session = SimpleNamespace(
            given={one[0]: one[1] for one in providers if not isinstance(one, str)},
            get_providers=lambda: [name for name in names if name in self.starting],
            get_inputs=lambda: inputs,
            get_outputs=lambda: outputs,
            fallback=True,
        )
        session.disable_fallback = lambda: setattr(session, "fallback", False)
        self.sessions.append(session)
        return session


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    made = ModelFolder.create(tmp_path / "model", CONFIG)
    for name in ("clip.onnx", "clip.fp16.onnx", "clip.int8.onnx"):
        with made.writing(name, {}) as path:
            path.write_bytes(b"a graph")
    return made


@pytest.fixture
def ort(gpu_machine: Callable[..., FakeTensorRT], monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeOrt]:
    """A machine with a GPU, and an ONNX Runtime with these providers, all of which start if not said otherwise."""

    def make(*available: str, starting: tuple[str, ...] | None = None, devices: int = 1) -> FakeOrt:
        gpu_machine("10.3.0", *[("Orin", "8.7")] * devices)
        every = (*available, CPU)
        fake = FakeOrt(every, every if starting is None else (*starting, CPU))
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        return fake

    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    return make


def test_cuda_gets_its_device_and_exact_fp32(folder: ModelFolder, ort: Callable[..., FakeOrt]) -> None:
    fake = ort(TENSORRT, CUDA)
    session, line = open_session(folder, "onnxruntime", SessionOptions("cuda", precision="fp32"))
    assert line == "onnxruntime fp32 on cuda" and session.backend == "onnxruntime"
    assert fake.sessions[0].given == {CUDA: {"device_id": "0", "use_tf32": "0"}}
    assert fake.sessions[0].fallback is False, "nor does a run that fails go on elsewhere"


@pytest.mark.parametrize(
    ("precision", "halves", "bytes_"), [("fp16", "1", "0"), ("int8", "0", "1"), ("fp32", "0", "0")]
)
def test_tensorrt_rounds_what_the_graph_rounds_and_keeps_no_engine(
    folder: ModelFolder, ort: Callable[..., FakeOrt], monkeypatch: pytest.MonkeyPatch, precision: str, halves: str,
    bytes_: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    fake = ort(TENSORRT, CUDA)
    session, line = open_session(folder, "onnxruntime-tensorrt", SessionOptions("cuda", precision=precision))
    assert line == f"onnxruntime-tensorrt {precision} on cuda" and session.backend == "onnxruntime-tensorrt"
    given = fake.sessions[0].given
    assert list(given) == [TENSORRT, CUDA], "CUDA takes what TensorRT leaves"
    assert given[TENSORRT] == {
        "device_id": "0",
        "trt_fp16_enable": halves,
        "trt_int8_enable": bytes_,
        "trt_engine_cache_enable": "0",
        "trt_timing_cache_enable": "0",
    }


@pytest.mark.parametrize(("device", "number"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:1", "1")])
def test_the_device_is_that_of_both_providers(
    folder: ModelFolder, ort: Callable[..., FakeOrt], device: str, number: str
) -> None:
    fake = ort(TENSORRT, CUDA, devices=2)
    session, line = open_session(folder, "onnxruntime-tensorrt", SessionOptions(device, precision="fp16"))
    assert session.device == device and line == f"onnxruntime-tensorrt fp16 on {device}"
    given = fake.sessions[0].given
    assert {provider: options["device_id"] for provider, options in given.items()} == {TENSORRT: number, CUDA: number}


@pytest.mark.parametrize(
    ("available", "backend", "options", "hint"),
    [
        ((TENSORRT, CUDA), "onnxruntime-tensorrt", ("cuda:1", "fp16"), r"'cuda:1' was asked for and there are 1 CUDA"),
        (
            (TENSORRT, CUDA),
            "onnxruntime-tensorrt",
            ("cuda", "fp32"),
            "TF32 unless NVIDIA_TF32_OVERRIDE=0 is set",
        ),
        ((), "onnxruntime", ("cuda", "fp16"), r"'cuda' needs CUDAExecutionProvider.*pip install onnxruntime-gpu\)"),
        ((CUDA,), "onnxruntime-tensorrt", ("cuda", "fp16"), r"needs TensorrtExecutionProvider.*-gpu and .* tensorrt"),
        ((TENSORRT, CUDA), "onnxruntime-tensorrt", ("cpu", "auto"), "it runs on cuda, not on 'cpu'"),
    ],
)
def test_what_cannot_run_is_an_error_with_the_remedy(
    folder: ModelFolder, ort: Callable[..., FakeOrt], available: tuple[str, ...], backend: str,
    options: tuple[str, str], hint: str,
) -> None:  # fmt: skip
    fake, wanted = ort(*available), SessionOptions(options[0], precision=options[1])
    with pytest.raises(BackendError, match=hint):
        open_session(folder, backend, wanted)
    if wanted.device != "cpu":
        with pytest.raises(BackendError, match=hint):
            BACKENDS[backend].open_graph(folder, "clip", wanted)
    assert fake.sessions == []


@pytest.mark.parametrize(
    ("backend", "wanted", "left"), [("onnxruntime", CUDA, ()), ("onnxruntime-tensorrt", TENSORRT, (CUDA,))]
)
def test_a_provider_that_does_not_start_is_not_replaced_by_the_next(
    folder: ModelFolder, ort: Callable[..., FakeOrt], backend: str, wanted: str, left: tuple[str, ...]
) -> None:
    ort(TENSORRT, CUDA, starting=left)
    with pytest.raises(BackendError, match=f"could not start {wanted} here; it prints which library is missing"):
        open_session(folder, backend, SessionOptions("cuda", precision="fp16"))


def test_what_fails_on_the_device_is_told_apart_from_a_broken_file(
    folder: ModelFolder, ort: Callable[..., FakeOrt]
) -> None:
    fake = ort(CUDA)
    fake.error = RuntimeError("CUDA failure 35\nand more")
    with pytest.raises(BackendError, match=f"could not start {CUDA} on 'cuda': CUDA failure 35$"):
        open_session(folder, "onnxruntime", SessionOptions("cuda"))
    fake.error = type("InvalidProtobuf", (Exception,), {})("no graph")
    with pytest.raises(ModelFolderError, match=r"cannot load .*clip\.fp16\.onnx': no graph"):
        open_session(folder, "onnxruntime", SessionOptions("cuda"))


def test_auto_takes_cuda_but_never_builds_engines_unasked(folder: ModelFolder, ort: Callable[..., FakeOrt]) -> None:
    fake = ort(TENSORRT, CUDA)
    session, line = open_session(folder)
    assert (session.backend, session.device, session.precision) == ("onnxruntime", "cuda", "fp16")
    assert list(fake.sessions[0].given) == [CUDA] and "not onnxruntime-tensorrt" not in line
