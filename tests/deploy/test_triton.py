"""Model repositories for Triton: what is in them, by Triton's own schema, and a client that reads a video by one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import app
from mdhr_sdk.deploy.export.triton import config_text, served_name, write_repository
from mdhr_sdk.errors import ExportError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime.session import graph_specs

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "mdhr_sdk" / "assets" / "demo.mp4"
STREAM = ("encoder", "relations", "temporal")


def test_a_repository_holds_the_folders_graphs_byte_by_byte_and_says_what_is_left_out(
    tmp_path: Path, tiny_onnx_folder: Path
) -> None:
    folder, out = ModelFolder.open("edge"), tmp_path / "served"
    told = list(write_repository("edge", out))
    left_out = [line for line in told if line.startswith("left out: the folder has no ")]
    assert [line.split()[6] for line in left_out] == ["clip.onnx", "head.onnx"] and len(told) == 5
    assert {path.name for path in out.iterdir()} == {f"edge_{graph}" for graph in STREAM}
    for graph in STREAM:
        assert (out / f"edge_{graph}/1/model.onnx").read_bytes() == folder.read(f"{graph}.onnx")
    text = (out / "edge_temporal/config.pbtxt").read_text()
    assert 'input [ { name: "nodes" data_type: TYPE_FP32 dims: [ 5, 15,' in text
    assert "max_batch_size: 64" in text and "dynamic_batching {" in text
    list(write_repository(str(tiny_onnx_folder), tmp_path / "whole"))
    (clip,) = (tmp_path / "whole").glob("*_clip")
    assert "max_batch_size: 16" in (clip / "config.pbtxt").read_text()  # of 4 frames each


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--graph", "head"), "has no head.onnx"),
        (("--graph", "face"), "expected some of the graphs clip, encoder"),
        (("--precision", "fp16"), "has no clip.fp16.onnx"),
        (("--calibrate", "x.mp4"), "takes those that are there"),
        (("--out", "."), "expected a new folder"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line_and_leaves_nothing(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["export", "edge", "--format", "triton", *words])
    assert isinstance(done.exception, ExportError) and said in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_out_belongs_to_what_makes_a_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", "edge", "--out", str(tmp_path / "x")])
    assert isinstance(done.exception, ExportError) and "go into the model's folder" in str(done.exception)


def test_names_are_those_that_a_url_can_hold(tmp_path: Path) -> None:
    copy = ModelFolder.open("edge").copy(tmp_path / "my model (é)")
    assert served_name(copy, "encoder") == "my_model_____encoder"


@pytest.mark.slow
def test_configs_are_valid_by_tritons_schema_for_every_graph_and_tell_its_shapes() -> None:
    pytest.importorskip("tritonclient.grpc", reason="docs/triton.md tells how to install it", exc_type=Exception)
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    folder = ModelFolder.open("edge")
    for graph in ("clip", "clip_u8", "encoder", "encoder_u8", "head", "relations", "temporal"):
        text = config_text(folder, graph)
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        inputs, outputs = graph_specs(folder.config, graph, folder.config.clip_length)
        assert config.name == f"edge_{graph}" and config.backend == "onnxruntime"
        assert config.dynamic_batching.max_queue_delay_microseconds == 500
        for told, specs in ((config.input, inputs), (config.output, outputs)):
            assert [(one.name, tuple(one.dims)) for one in told] == [(one.name, one.shape[1:]) for one in specs]
        kinds = {model_config_pb2.DataType.Name(one.data_type) for one in (*config.input, *config.output)}
        assert kinds == ({"TYPE_UINT8", "TYPE_FP32"} if graph.endswith("_u8") else {"TYPE_FP32"})
    with pytest.raises(text_format.ParseError):
        text_format.Parse(re.sub("max_batch_size", "max_batches", text), model_config_pb2.ModelConfig())


@pytest.mark.slow
def test_a_client_reads_a_video_through_the_protocol_as_the_detector_does_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tritonclient.grpc", reason="docs/triton.md tells how to install it", exc_type=Exception)
    from triton_standin import serving

    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
    import triton_stream

    list(write_repository("edge", tmp_path / "repository", STREAM))
    frames = []
    with serving(tmp_path / "repository") as (address, standin):
        for frame in triton_stream.stream(address, "edge", str(DEMO)):
            frames.append(frame)
            if len(frames) == 50:
                break
        with pytest.raises(Exception, match="unknown model"):
            next(triton_stream.stream(address, str(ModelFolder.open("edge").copy(tmp_path / "other").path), str(DEMO)))
    assert set(standin.batches) == {f"edge_{graph}" for graph in STREAM}
    with AUDetector.from_pretrained("edge", "onnxruntime", mode="stream") as detector:
        alone = [frame for frame, _ in zip(detector.stream(str(DEMO)), range(50), strict=False)]
    assert sum(len(frame.faces) for frame in frames) >= 50
    for served, own in zip(frames, alone, strict=True):
        for face, other in zip(served.faces, own.faces, strict=True):
            assert face.active == other.active
            scores = [[score.probability for score in one.aus.values()] for one in (face, other)]
            assert np.allclose(*scores, atol=1e-5)
            strengths = [{au: score.intensity for au, score in one.aus.items()} for one in (face, other)]
            assert strengths[0] == pytest.approx(strengths[1], abs=1e-3) and strengths[0]["AU12"] is not None
