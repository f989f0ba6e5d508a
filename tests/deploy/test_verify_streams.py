"""Streams of a folder's own graphs against the clip model, and what failed is used no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import smooth_clips
from mdhr_sdk.deploy import ParityReport, export_graphs, verify
from mdhr_sdk.deploy.stream_parity import in_windows, stream_lookaheads
from mdhr_sdk.errors import BackendError
from mdhr_sdk.folder import ModelFolder
from mdhr_sdk.model import MDHR, build_mdhr, calibrate, save_model
from mdhr_sdk.runtime import SessionOptions, open_session, rings
from mdhr_sdk.runtime.stream_graphs import BESIDE, StreamGraphs

T, SETTLED = 7, 3  # of k = 1
CPU = SessionOptions("cpu", threads=1)


def small_model() -> MDHR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = {"input_size_px": 64, "projection_width": 16, "au_width": 8, "weight_width": 4}
        model = build_mdhr("disfa", "resnet18", k=1, **size)
    calibrate(model, smooth_clips(0, batch=8, frames=8, size=64))
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "small"
    save_model(small_model(), path, clip_length=T)
    export_graphs(path, graphs=["encoder", *BESIDE])
    return path


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "model"))


def test_streams_are_compared_at_the_edge_and_inside_and_noted(folder: Path) -> None:
    told = dict(verify(folder))
    noted = json.loads((folder / "manifest.json").read_text())["files"]["encoder.onnx"]["streams"]
    assert stream_lookaheads(ModelFolder.open(folder).config) == (0, SETTLED) and set(noted) == {"0", str(SETTLED)}
    for lookahead in (0, SETTLED):
        report = told[f"encoder.onnx, stream at lookahead {lookahead}"]
        assert isinstance(report, ParityReport) and not report.failure and 0 < report.max_score < 1e-5
        assert report.decisions > 0 and report.to_dict() == noted[str(lookahead)]
    StreamGraphs.open(ModelFolder.open(folder), "onnxruntime", CPU).close()


def test_rings_that_answer_something_else_are_found_and_used_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = rings.fuse_dynamics_step

    def louder(*arguments: Any, **options: Any) -> Any:
        motion, frames = step(*arguments, **options)
        return motion * 1.1, frames

    with monkeypatch.context() as patch:
        patch.setattr(rings, "fuse_dynamics_step", louder)  # what only the settled rings call
        told = dict(verify(folder))
    failures = {name: report.failure for name, report in told.items() if isinstance(report, ParityReport)}
    assert [name for name, failure in failures.items() if failure] == [f"encoder.onnx, stream at lookahead {SETTLED}"]
    opened = ModelFolder.open(folder)
    with pytest.raises(BackendError, match=r"streams of encoder\.onnx do not .* at lookahead 3: max_score is"):
        StreamGraphs.open(opened, "onnxruntime", CPU)
    graphs = StreamGraphs.open(opened, "auto", CPU)
    assert graphs.encoder.backend == "torch" and "streams of encoder.onnx do not" in graphs.choice
    graphs.close()
    session, _ = open_session(opened, "onnxruntime", CPU, "encoder")  # for what is no stream
    session.close()
    assert not any(report.failure for _, report in verify(folder) if isinstance(report, ParityReport)), "anew"


def test_without_the_small_graphs_there_is_no_stream_to_judge(folder: Path) -> None:
    (folder / "temporal.onnx").unlink()
    assert not [name for name, _ in verify(folder) if "stream" in name]


def test_a_small_graph_that_differs_is_why_there_is_no_stream(folder: Path) -> None:
    opened = ModelFolder.open(folder)
    opened.note("relations.onnx", opened.manifest["relations.onnx"]["sha256"], parity={"failure": "max_score is 1"})
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "relations.onnx").write_bytes(b"no graph")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    told = dict(verify(folder))
    assert "relations.onnx" in str(told["encoder.onnx, stream"])


@pytest.mark.parametrize("lookahead", [0, SETTLED, T - 1])
def test_the_reference_is_the_clip_model_in_every_window(lookahead: int) -> None:
    model, video = small_model(), torch.from_numpy(smooth_clips(5, 1, 2 * T - 1, 64)[0])
    wanted = []
    for frame in range(len(video)):
        newest = min(frame + lookahead, len(video) - 1)
        oldest = max(0, newest - T + 1)
        with torch.inference_mode():
            wanted.append(model(video[None, oldest : newest + 1]).scores[0, frame - oldest].numpy())
    np.testing.assert_allclose(in_windows(model, video, lookahead, T), np.stack(wanted), atol=1e-6)
