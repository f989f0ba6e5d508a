"""Where PyTorch is not, as on many a Jetson: graphs that were proven elsewhere stand for the weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine_helpers import vouch
from fake_tensorrt import FakeTensorRT
from mdhr_sdk.deploy import LIMITS, EngineOptions, ParityReport, build_engine, verify
from mdhr_sdk.deploy.parity.verification import REFERENCE
from mdhr_sdk.errors import BackendError, MissingDependencyError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session

CPU = SessionOptions("cpu", precision="fp32")
GRAPHS = ("clip", "encoder", "head", "relations", "temporal")


@pytest.fixture
def folder(tiny_onnx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All graphs of a small model, on a machine without PyTorch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    return Path(shutil.copytree(tiny_onnx_folder, tmp_path / "model"))


@pytest.mark.slow
@pytest.mark.parametrize("gone", [(), ("head.onnx",), ("clip.onnx", "relations.onnx")])
def test_other_backends_are_compared_with_the_proven_graphs(folder: Path, gone: tuple[str, ...]) -> None:
    pytest.importorskip("openvino")
    for name in gone:
        (folder / name).unlink()
    before = ModelFolder.open(folder).manifest
    told = dict(verify(folder, backends=["onnxruntime", "openvino"]))
    after = ModelFolder.open(folder).manifest
    left = [f"{graph}.onnx" for graph in GRAPHS if f"{graph}.onnx" not in gone]
    for name in left:
        assert told[name] == REFERENCE and after[name]["parity"] == before[name]["parity"]
        report = told[f"{name}, openvino fp32"]
        if name == "temporal.onnx" and "relations.onnx" in gone:
            assert "no other graph stands for them: the folder has no relations.onnx" in str(report)
            continue
        assert isinstance(report, ParityReport) and not report.failure and report.decisions > 0
        assert report.against == f"{', '.join(left)} in onnxruntime on the CPU"
        assert after[name]["parity_in_openvino_fp32"] == report.to_dict()
    streams = [report for label, report in told.items() if "stream" in label]
    if "relations.onnx" in gone:
        assert not streams
    else:
        assert len(streams) >= 4 and not any(report.failure for report in streams if isinstance(report, ParityReport))


@pytest.mark.slow
def test_what_differs_from_the_proven_graphs_is_used_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setitem(LIMITS, "fp32", replace(LIMITS["fp32"], max_score=-1.0))
    told = dict(verify(folder, backends=["openvino"]))
    assert "max_score is" in told["head.onnx, openvino fp32"].failure  # type: ignore[union-attr]
    with pytest.raises(BackendError, match=r"head\.onnx does not answer like the weights: max_score is"):
        open_session(ModelFolder.open(folder), "openvino", CPU, "head")
    session, line = open_session(ModelFolder.open(folder), "auto", CPU, "head")
    assert line == "onnxruntime fp32 on cpu"
    session.close()


@pytest.mark.parametrize("graph", ["clip", "relations"])
def test_an_engine_is_proven_and_taken_by_auto(
    folder: Path, graph: str, gpu_machine: Callable[..., FakeTensorRT]
) -> None:
    gpu_machine()
    report = build_engine(folder, EngineOptions(graph, batch_opt=2))
    assert report.unproven == "" and report.parity is not None and report.parity["failure"] == ""
    assert report.parity["against"].startswith("clip.onnx, encoder.onnx, head.onnx")
    entry = ModelFolder.open(folder).manifest[f"{graph}.engine"]
    assert entry["parity"] == report.parity
    session, line = open_session(ModelFolder.open(folder), "auto", SessionOptions(precision="fp32"), graph)
    assert session.backend == "tensorrt" and line.startswith("tensorrt fp32 on cuda")
    session.close()
    assert not build_engine(folder, EngineOptions(graph, batch_opt=2)).built


def test_an_engine_that_came_unproven_is_taken_after_verify(
    folder: Path, gpu_machine: Callable[..., FakeTensorRT]
) -> None:
    gpu_machine()
    lacks = "encoder.onnx was never compared with the weights"
    proof = ModelFolder.open(folder).manifest["encoder.onnx"]["parity"]
    vouch(folder, "encoder.onnx", parity=None)
    report = build_engine(folder, EngineOptions("head"))
    assert report.parity is None and lacks in report.unproven and "torch is not installed" in report.unproven
    assert lacks in str(dict(verify(folder, backends=["tensorrt"]))["head.engine"])
    vouch(folder, "encoder.onnx", parity=proof)
    found = dict(verify(folder, backends=["tensorrt"]))["head.engine"]
    assert isinstance(found, ParityReport) and not found.failure
    session, _ = open_session(ModelFolder.open(folder), "auto", SessionOptions(precision="fp32"), "head")
    assert session.backend == "tensorrt"
    session.close()


def test_a_damaged_reference_condemns_nothing_else(folder: Path) -> None:
    pytest.importorskip("openvino")
    with (folder / "encoder.onnx").open("ab") as file:
        file.write(b"!")
    told = dict(verify(folder, backends=["openvino"]))
    assert "encoder.onnx' has other bytes" in str(told["head.onnx, openvino fp32"])
    assert isinstance(told["head.onnx, openvino fp32"], str)
    assert "parity_in_openvino_fp32" not in ModelFolder.open(folder).manifest["head.onnx"]


def test_without_a_proven_graph_there_is_nothing_to_compare_with(folder: Path) -> None:
    for graph in GRAPHS:
        vouch(folder, f"{graph}.onnx", parity=None)
    with pytest.raises(
        MissingDependencyError, match=r"nothing to compare with: torch is not .*\[export\].* no fp32 ONNX"
    ):
        list(verify(folder))


def test_the_command_needs_no_pytorch(folder: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = sys.modules["timm"] = None  # importing them raises
import mdhr_sdk.deploy.engines.build, mdhr_sdk.deploy.engines.plan
from mdhr_sdk.cli.app import app
app(["verify", {str(folder)!r}, "--backend", "onnxruntime"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "against clip.onnx, encoder.onnx" in said and "│ reference │" in said
    assert "stream at lookahead 0" in said
