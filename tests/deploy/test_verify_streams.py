"""Streams of a folder's own graphs against the clip model, and what failed is used no more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from conftest import made_once, smooth_clips
from engine_helpers import shift_scores
from mdhr_sdk.cli.app import app
from mdhr_sdk.deploy import LIMITS, Broken, Judge, ParityReport, export_graphs, verify
from mdhr_sdk.deploy.parity import verification
from mdhr_sdk.deploy.parity.pytorch_reference import WeightsReference
from mdhr_sdk.deploy.parity.references import OnnxReference
from mdhr_sdk.deploy.parity.stream_parity import stream_lookaheads
from mdhr_sdk.errors import BackendError, ExportError
from mdhr_sdk.model import MDHR, build_mdhr, calibrate, save_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS, SessionOptions, open_session, open_streams
from mdhr_sdk.runtime.stream import rings
from mdhr_sdk.runtime.stream.stream_graphs import BESIDE, StreamGraphs

pytestmark = pytest.mark.slow
T, SETTLED = 7, 3  # of k = 1
CPU = SessionOptions("cpu", threads=1)
BF16 = SessionOptions("cpu", precision="bf16")


def small_model() -> MDHR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = {"input_size_px": 64, "projection_width": 16, "au_width": 8, "weight_width": 4}
        model = build_mdhr("disfa", "resnet18", k=1, **size)
    calibrate(model, smooth_clips(0, batch=8, frames=8, size=64))
    return model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(path: Path) -> None:
        save_model(small_model(), path, clip_length=T)
        export_graphs(path, graphs=["encoder", *BESIDE])

    return made_once(tmp_path_factory, "verified-streams", make)


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "model"))


OWN = "streams_in_onnxruntime_fp32"


def entry(folder: Path, name: str = "encoder.onnx") -> dict[str, Any]:
    return ModelFolder.open(folder).manifest[name]


def test_streams_are_compared_at_the_edge_and_inside_and_noted_backend_by_backend(folder: Path) -> None:
    pytest.importorskip("openvino")
    told = dict(verify(folder, backends=["onnxruntime", "openvino"]))
    opened = ModelFolder.open(folder)
    runs = {"encoder.onnx": OWN, "encoder.onnx, openvino fp32": "streams_in_openvino_fp32"}
    if BACKENDS["openvino"].obstacle(opened, "encoder", BF16) is None:
        runs["encoder.onnx, openvino bf16"] = "streams_in_openvino_bf16"
    assert stream_lookaheads(opened.config) == (0, SETTLED)
    assert sorted(name for name in entry(folder) if "streams" in name) == sorted(runs.values())
    for label, key in runs.items():
        for lookahead in (0, SETTLED):
            report = told[f"{label}, stream at lookahead {lookahead}"]
            assert isinstance(report, ParityReport) and not report.failure and report.decisions > 0
            assert 0 < report.max_score < (5e-2 if "bf16" in label else 1e-5)
            assert report.to_dict() == entry(folder)[key][str(lookahead)]
    open_streams(opened, "onnxruntime", CPU).close()


def test_streams_that_fail_in_one_backend_are_refused_there_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")

    def differs(judge: Judge, graphs: StreamGraphs) -> dict[int, ParityReport | Broken]:
        assert graphs.encoder.precision in ("fp32", "bf16") and graphs.relations.backend == graphs.encoder.backend
        found = ParityReport(graphs.encoder.precision, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
        return {0: Broken("no numbers") if graphs.encoder.backend == "openvino" else found}

    monkeypatch.setattr(verification, "compare_streams", differs)
    told = dict(verify(folder, backends=["onnxruntime", "openvino"]))
    assert told["encoder.onnx, openvino fp32, stream at lookahead 0"] == Broken("no numbers")
    opened = ModelFolder.open(folder)
    with pytest.raises(BackendError, match=r"encoder\.onnx do not .* in openvino fp32 at lookahead 0: no numbers"):
        open_streams(opened, "openvino", CPU)
    graphs = open_streams(opened, "onnxruntime", CPU)
    assert graphs.choice == "onnxruntime fp32 on cpu"
    graphs.close()


def test_rings_that_answer_something_else_are_found_and_used_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = rings.fuse_dynamics_step

    def louder(*arguments: Any, **options: Any) -> Any:
        motion, frames = step(*arguments, **options)
        return motion * 1.1, frames

    with monkeypatch.context() as patch:
        patch.setattr(rings, "fuse_dynamics_step", louder)  # what only the settled rings call
        told = dict(verify(folder, backends=["onnxruntime"]))
    failures = {name: report.failure for name, report in told.items() if isinstance(report, ParityReport)}
    assert [name for name, failure in failures.items() if failure] == [f"encoder.onnx, stream at lookahead {SETTLED}"]
    opened = ModelFolder.open(folder)
    with pytest.raises(BackendError, match=r"streams of encoder\.onnx do not .* at lookahead 3: max_score is"):
        open_streams(opened, "onnxruntime", CPU)
    graphs = open_streams(opened, "auto", CPU)
    assert graphs.encoder.backend != "onnxruntime" and "streams of encoder.onnx do not" in graphs.choice
    graphs.close()
    session, _ = open_session(opened, "onnxruntime", CPU, "encoder")  # for what is no stream
    session.close()
    again = verify(folder, backends=["onnxruntime"])
    assert not any(report.failure for _, report in again if isinstance(report, ParityReport)), "anew"


def test_streams_without_numbers_fail_and_take_the_place_of_an_earlier_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, step = ModelFolder.open(folder), rings.fuse_dynamics_step
    opened.note("encoder.onnx", entry(folder)["sha256"], **{OWN: {"0": {"failure": ""}, "3": {"failure": ""}}})

    def broken(*arguments: Any, **options: Any) -> Any:
        motion, frames = step(*arguments, **options)
        return motion * np.float32(np.nan), frames

    monkeypatch.setattr(rings, "fuse_dynamics_step", broken)
    result = CliRunner().invoke(app, ["verify", str(folder), "--backend", "onnxruntime"])
    assert isinstance(result.exception, ExportError) and "broken" in result.stdout
    assert f"encoder.onnx, stream at lookahead {SETTLED}: stream 0" in str(result.exception)
    assert "NaN or infinity" in entry(folder)[OWN][str(SETTLED)]["failure"] and not entry(folder)[OWN]["0"]["failure"]
    with pytest.raises(BackendError, match=r"at lookahead 3: stream 0.* NaN or infinity"):
        open_streams(opened, "onnxruntime", CPU)


def test_without_the_small_graphs_there_is_no_stream_to_judge(folder: Path) -> None:
    (folder / "temporal.onnx").unlink()
    told = dict(verify(folder, backends=["onnxruntime"]))
    assert not [name for name in told if "stream" in name] and "no temporal.onnx" in str(told["temporal.onnx"])


def test_a_small_graph_that_differs_is_why_there_is_no_stream(folder: Path) -> None:
    """It loads and runs: only what it answers is wrong."""
    shift_scores(folder, "temporal.onnx")
    told = dict(verify(folder, backends=["onnxruntime"]))
    found = told["temporal.onnx"]
    assert isinstance(found, ParityReport) and "max_score is" in found.failure
    assert "temporal.onnx does not answer like the weights: max_score is" in str(told["encoder.onnx, stream"])


def test_a_small_graph_that_is_damaged_is_why_there_is_no_stream(folder: Path) -> None:
    """Nothing was ever noted of it: its bytes alone are wrong."""
    with (folder / "relations.onnx").open("ab") as file:
        file.write(b"!")
    told = dict(verify(folder, backends=["onnxruntime"]))
    assert isinstance(told["relations.onnx"], Broken) and not entry(folder, "relations.onnx")["parity"]["failure"]
    assert "relations.onnx' has other bytes" in str(told["encoder.onnx, stream"])


@pytest.mark.parametrize("lookahead", [0, SETTLED, T - 1])
def test_the_reference_is_the_clip_model_in_every_window(exported: Path, lookahead: int) -> None:
    """Also the one of graphs, which stands for the weights where they cannot run."""
    folder = ModelFolder.open(exported)
    reference, video = WeightsReference.load(folder), smooth_clips(5, 1, 2 * T - 1, 64)[0]
    wanted = []
    for frame in range(len(video)):
        newest = min(frame + lookahead, len(video) - 1)
        oldest = max(0, newest - T + 1)
        with torch.inference_mode():
            clip = torch.from_numpy(video[None, oldest : newest + 1])
            wanted.append(reference.model(clip).scores[0, frame - oldest].numpy())
    np.testing.assert_allclose(reference.in_windows(video, lookahead, T), np.stack(wanted), atol=1e-6)
    graphs = OnnxReference(folder, "")  # which project before they subtract
    np.testing.assert_allclose(graphs.in_windows(video, lookahead, T), np.stack(wanted), atol=LIMITS["fp32"].max_score)
