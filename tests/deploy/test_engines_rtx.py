"""The real builder of TensorRT-RTX, which needs no GPU: every graph parses and builds, and bad ones are told apart.

It proves types, shapes and operators, not numbers: those need the device.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from mdhr_sdk.deploy import EngineOptions, build_engine
from mdhr_sdk.deploy.engines.plan import plan_engine
from mdhr_sdk.errors import BackendError, ExportError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.runtime.cuda.devices import cuda_device_count
from mdhr_sdk.runtime.cuda.toolchains import TOOLCHAINS

RTX = TOOLCHAINS["rtx"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(RTX.missing() is not None, reason=f"{RTX.title} is not installed"),
]
BATCHES = [pytest.param((1, 1, 8), id="dynamic"), pytest.param((2, 2, 2), id="static")]


@pytest.fixture(scope="module")
def folder(tiny_rounded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every graph in fp32 and fp16, the encoder in int8 too, no weights."""
    copy = tmp_path_factory.mktemp("rtx") / "model"
    shutil.copytree(tiny_rounded_folder, copy, ignore=shutil.ignore_patterns("*.pt", "*.safetensors"))
    return copy


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("graph", ["clip", "encoder", "head"])
def test_every_graph_builds(folder: Path, graph: str, precision: str, batches: tuple[int, int, int]) -> None:
    options = EngineOptions(graph, precision, *batches, toolchain="rtx")
    report = build_engine(folder, options)
    assert report.built and report.size_bytes > 100_000
    assert report.path.name == (f"{graph}.rtx.engine" if precision == "fp32" else f"{graph}.fp16.rtx.engine")
    if cuda_device_count() == 0:
        assert report.parity is None and "no CUDA device" in report.unproven
        layers = json.loads((folder / f"{report.path.name}.layers.json").read_text())["layers"]
        inner = {one for layer in layers for one in layer["precision"] if one in ("FLOAT", "HALF")}
        assert "HALF" in inner if precision == "fp16" else inner == {"FLOAT"}
        kinds = {layer["type"] for layer in layers}
        assert "CONVOLUTION" in kinds or graph == "head"
    assert not build_engine(folder, options).built


def test_compute_capabilities_are_those_that_the_builder_knows(folder: Path) -> None:
    target = ModelFolder.open(folder)
    known = plan_engine(target, EngineOptions("head", toolchain="rtx")).target.compute_capabilities
    assert {"8.0", "8.6", "8.9", "12.0"} <= set(known) and "7.5" not in known
    one = build_engine(folder, EngineOptions("head", toolchain="rtx", compute_capabilities=("8.9",)))
    assert one.plan.target.compute_capabilities == ("8.9",)
    with pytest.raises(ExportError, match=r"cannot build head\.rtx\.engine from head\.onnx: .*Turing .*FP32"):
        build_engine(folder, EngineOptions("head", toolchain="rtx", compute_capabilities=("7.5",)))
    with pytest.raises(ExportError, match=r"builds for the compute capabilities .*12\.0.*; got 3\.5"):
        build_engine(folder, EngineOptions("head", toolchain="rtx", compute_capabilities=("3.5",)))


@pytest.mark.parametrize(("graph", "precision"), [("encoder_u8", "fp16"), ("encoder", "int8")])
def test_uint8_inputs_and_int8_layers_build(folder: Path, graph: str, precision: str) -> None:
    report = build_engine(folder, EngineOptions(graph, precision, toolchain="rtx"))
    assert report.built and report.path.name == f"{graph}.{precision}.rtx.engine"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", r"cannot read head\.onnx: MODEL_DESERIALIZE_FAILED"),
        ("operator", r"cannot read head\.onnx: BitwiseAnd 'node_\w+': UNSUPPORTED_NODE"),
        ("empty", r"head\.onnx must have the inputs .*it has \{\}"),
    ],
)
def test_a_graph_that_cannot_be_built_is_one_clear_line(
    folder: Path, tmp_path: Path, damage: str, message: str
) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("config.json", "manifest.json", "head.onnx"):
        shutil.copy(folder / name, copy / name)
    target = ModelFolder.open(copy)
    build_engine(copy, EngineOptions("head", toolchain="rtx", batch_max=2))
    before = (copy / "head.rtx.engine").read_bytes()
    content = (copy / "head.onnx").read_bytes()
    if damage == "operator":
        model = onnx.load_from_string(content)
        model.graph.node[3].op_type = "BitwiseAnd"
        content = model.SerializeToString()
    else:
        content = content[: len(content) // 2] if damage == "cut" else b""
    with target.writing("head.onnx", {"tool": "test"}) as part:
        part.write_bytes(content)
    with pytest.raises(ExportError, match=message) as caught:
        build_engine(copy, EngineOptions("head", toolchain="rtx"))
    assert "\n" not in str(caught.value)
    assert (copy / "head.rtx.engine").read_bytes() == before


def test_the_runtime_says_that_there_is_no_device(folder: Path) -> None:
    if cuda_device_count():
        pytest.skip("CUDA is here")
    build_engine(folder, EngineOptions("head", toolchain="rtx"))
    with pytest.raises(BackendError, match="no CUDA device"):
        open_session(ModelFolder.open(folder), "tensorrt-rtx", SessionOptions(), "head")


@pytest.mark.gpu
@pytest.mark.parametrize("toolchain", list(TOOLCHAINS))
@pytest.mark.parametrize("batches", BATCHES)
def test_a_real_engine_answers_like_the_weights(
    tiny_onnx_folder: Path, tmp_path: Path, toolchain: str, batches: tuple[int, int, int]
) -> None:
    chain = TOOLCHAINS[toolchain]
    if cuda_device_count() == 0 or chain.missing():
        pytest.skip(f"needs a CUDA device and {chain.title}")
    folder = Path(shutil.copytree(tiny_onnx_folder, tmp_path / "model"))
    report = build_engine(folder, EngineOptions("clip", "fp32", *batches, toolchain=toolchain))
    assert report.parity is not None and report.parity["failure"] == ""
    session, _ = open_session(ModelFolder.open(folder), graph="clip")
    assert session.backend == chain.backend
    clip = np.random.default_rng(0).standard_normal((5, 4, 3, 96, 96), dtype=np.float32)
    scores = [session.run({"clip": clip})["scores"] for _ in range(3)]
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[1], scores[2])
    session.close()
