"""Exported graphs: clean, equal to the weights, and kept only then."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

import mdhr_sdk
from conftest import smooth_clips
from engine_helpers import vouch
from mdhr_sdk.cli.app import app
from mdhr_sdk.deploy import LIMITS, Judge, export_graphs
from mdhr_sdk.deploy.export import exporter as export
from mdhr_sdk.deploy.export.onnx_graphs import OPSET, check_graph
from mdhr_sdk.deploy.export.view import export_view
from mdhr_sdk.deploy.parity.judge import probe_clip
from mdhr_sdk.deploy.parity.pytorch_reference import WeightsReference
from mdhr_sdk.errors import ExportError, ModelFolderError
from mdhr_sdk.model import build_mdhr, calibrate, load_model, save_model
from mdhr_sdk.modelfolder.artefacts import GRAPHS
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.runtime.session import graph_specs

CPU = SessionOptions(device="cpu", threads=1)


@pytest.fixture(scope="module")
def exported(tiny_onnx_folder: Path) -> ModelFolder:
    return ModelFolder.open(tiny_onnx_folder)


def test_manifest_says_how_each_was_made(exported: ModelFolder) -> None:
    for graph in ("clip", "encoder", "head", "relations", "temporal"):
        entry = exported.manifest[f"{graph}.onnx"]
        assert entry["source_sha256"] == exported.manifest["model.safetensors"]["sha256"]
        assert entry["options"] == {"graph": graph, "precision": "fp32", "opset": OPSET, "clip_length": 4}
        assert entry["parity"]["failure"] == "" and entry["parity"]["clips"] == 11
        assert {"torch", "onnx", "onnxruntime"} <= set(entry["versions"])
        assert entry["versions"]["mdhr_sdk"] == mdhr_sdk.__version__


@pytest.mark.parametrize("graph", ["clip", "encoder", "head", "relations", "temporal"])
def test_graphs_hold_no_shape_arithmetic_and_no_batch_norm(exported: ModelFolder, graph: str) -> None:
    model = onnx.load(exported.path / f"{graph}.onnx")
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"Shape", "BatchNormalization", "GatherND", "Expand", "BitwiseAnd", "ConstantOfShape"}
    assert [entry.version for entry in model.opset_import] == [OPSET]


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_encoder_and_head_give_the_clips_scores(exported: ModelFolder, batch: int) -> None:
    clip, encoder, head = (
        open_session(exported, "onnxruntime", CPU, graph)[0] for graph in ("clip", "encoder", "head")
    )
    frames = np.random.default_rng(batch).standard_normal((batch, 4, 3, 96, 96), dtype=np.float32)
    features = encoder.run({"frames": frames.reshape(-1, 3, 96, 96)})
    split = head.run({name: value.reshape(batch, 4, *value.shape[1:]) for name, value in features.items()})
    whole = clip.run({"clip": frames})
    assert np.abs(whole["scores"] - split["scores"]).max() <= 1e-5
    with torch.inference_mode():
        wanted = load_model(exported)(torch.from_numpy(frames)).scores.numpy()
    assert np.abs(whole["scores"] - wanted).max() <= 1e-5


def test_bytes_in(tiny_folder: Path, tmp_path: Path) -> None:
    folder = ModelFolder.open(shutil.copytree(tiny_folder, tmp_path / "model"))
    (report,) = export_graphs(folder.path, graphs=["encoder_u8", "encoder_u8"]).values()
    assert report.feature <= LIMITS["fp32"].feature and report.clips == 11
    session, _ = open_session(folder, "onnxruntime", CPU, "encoder_u8")
    assert session.inputs[0].dtype == "uint8" and session.inputs[0].shape == (None, 96, 96, 3)


def test_a_graph_that_answers_otherwise_is_not_kept(
    exported: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(exported.path, tmp_path / "model"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def broken(model, frames):  # type: ignore[no-untyped-def]
        view = export_view(model, frames)
        with torch.no_grad():
            view.head.temporal.conv.bias.add_(0.5)
        return view

    monkeypatch.setattr(export, "export_view", broken)
    with pytest.raises(ExportError, match=r"the temporal graph in fp32 was not kept: max_score is"):
        export_graphs(folder, graphs=["temporal"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "kept"),
    [(ExportError("of another shape"), ["temporal.onnx", "head.onnx"]), (KeyboardInterrupt(), ["temporal.onnx"])],
)
def test_where_one_graph_fails_the_others_are_made_and_each_is_told(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, kept: list[str]
) -> None:
    folder, compare = shutil.copytree(tiny_folder, tmp_path / "model"), Judge.compare

    def fails(judge, session, graph, batches):  # type: ignore[no-untyped-def]
        if graph == "relations":
            raise error
        return compare(judge, session, graph, batches)

    monkeypatch.setattr(Judge, "compare", fails)
    words = [word for graph in ("temporal", "relations", "head") for word in ("--graph", graph)]
    result = CliRunner().invoke(app, ["export", str(folder), *words])
    assert result.exit_code != 0 and "temporal.onnx: 0.0 MB; " in result.stdout
    assert [name for name in ModelFolder.open(folder).manifest if name.endswith("onnx")] == kept
    if isinstance(error, ExportError):
        assert str(result.exception) == "of another shape" and "relations.onnx: not kept\n" in result.stdout


@pytest.mark.slow
def test_clips_of_one_frame_have_no_dynamics_in_onnx(tmp_path: Path) -> None:
    size = {"input_size_px": 64, "projection_width": 16, "au_width": 8, "weight_width": 4}
    model = build_mdhr("disfa", "test_resnet", **size)
    calibrate(model, smooth_clips(0, batch=8, size=64))
    folder = save_model(model, tmp_path / "still", clip_length=1)
    with pytest.raises(
        ExportError, match=r"the clip graph .* 2 frames or more in ONNX; this folder's clip_length is 1"
    ):
        export_graphs(folder.path)
    assert set(folder.manifest) == {"config.json", "model.safetensors"}
    assert len(export_graphs(folder.path, graphs=["relations"])) == 1


def test_a_graph_of_weights_that_were_replaced_meanwhile_is_not_kept(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ModelFolder.open(shutil.copytree(tiny_folder, tmp_path / "model"))
    weights = folder.read("model.safetensors")

    def meanwhile(model, frames):  # type: ignore[no-untyped-def]
        with folder.writing("model.safetensors", {"tool": "another process"}) as path:
            path.write_bytes(weights.replace(b"{", b"{ ", 1)[:-1] + b"!")
        return export_view(model, frames)

    monkeypatch.setattr(export, "export_view", meanwhile)
    with pytest.raises(ModelFolderError, match=r"safetensors was replaced while temporal\.onnx was made"):
        export_graphs(folder.path, graphs=["temporal"])
    assert "temporal.onnx" not in folder.manifest and not folder.has("temporal.onnx")


def test_parity_counts_what_differs(exported: ModelFolder) -> None:
    session, _ = open_session(exported, "onnxruntime", CPU)

    class Off:
        """The session with one score past its threshold and one NaN."""

        outputs, precision = session.outputs, session.precision

        def run(self, inputs):  # type: ignore[no-untyped-def]
            found = session.run(inputs)
            found["scores"][0, 0, 0] = 1.0 if found["scores"][0, 0, 0] < 0.5 else 0.0
            found["region_logits_0"][0, 0, 0] = np.nan
            return found

    trained = dataclasses.replace(exported.config, trained=True)  # decided at its thresholds, not at medians
    report = Judge(trained, WeightsReference.load(exported)).compare(Off(), "clip")  # type: ignore[arg-type]
    assert (report.decision_flips, report.not_finite) == (4, 4), "one a batch"
    assert report.max_score >= 0.5 and "not finite" in report.failure and "flip_share" in report.failure


def test_foreign_operators_and_opsets_are_refused(exported: ModelFolder) -> None:
    model = onnx.load(exported.path / "head.onnx")
    model.graph.node[0].op_type = "BitwiseAnd"
    with pytest.raises(ExportError, match=r"BitwiseAnd"):
        check_graph(model, "head")
    model = onnx.load(exported.path / "head.onnx")
    model.opset_import[0].version = 17
    with pytest.raises(ExportError, match=r"opset \[17\]"):
        check_graph(model, "head")


def test_specs_follow_the_configuration(exported: ModelFolder) -> None:
    specs = {graph: graph_specs(exported.config, graph, 4) for graph in GRAPHS}
    assert [spec.name for spec in specs["head"][0]] == ["static", "map_1", "map_2", "map_3", "map_4"]
    assert specs["encoder"][1][1].shape == (None, 32, 3, 3)
    assert specs["clip_u8"][0][0].shape == (None, 4, 96, 96, 3)
    assert json.dumps([spec.name for spec in specs["clip"][1]]).count("region_logits") == 4


@pytest.fixture
def resnet18(tmp_path: Path) -> ModelFolder:
    """A network of the usual depth and size of picture, whose rounding is like that of the large ones."""
    torch.manual_seed(0)
    model = build_mdhr("bp4d", "resnet18", projection_width=32, au_width=16, weight_width=4)
    calibrate(model, smooth_clips(0, batch=3, size=224))
    folder = save_model(model, tmp_path / "resnet18", clip_length=4)
    export_graphs(folder.path, "torchscript", ["clip"])
    return folder


@pytest.mark.slow
def test_torchscript_tells_nothing_of_the_machine_that_made_it(resnet18: ModelFolder) -> None:
    export_graphs(resnet18.path, "torchscript", ["head"])
    content = resnet18.read("head.torchscript.pt")
    assert b"site-packages" not in content and str(Path(__file__).parents[2]).encode() not in content


@pytest.mark.slow
def test_torchscript_needs_neither_the_models_code_nor_timm(resnet18: ModelFolder, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["mdhr_sdk.model"] = sys.modules["timm"] = None  # importing them raises
import numpy as np
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session
session, _ = open_session(ModelFolder.open({str(resnet18.path)!r}), "torchscript", SessionOptions("cpu", 1))
np.save({str(tmp_path / "scores.npy")!r}, session.run({{"clip": np.load({str(tmp_path / "clip.npy")!r})}})["scores"])
"""
    clip = probe_clip(resnet18.config, batch=3)
    np.save(tmp_path / "clip.npy", clip)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        wanted = load_model(resnet18)(torch.from_numpy(clip)).scores.numpy()
    assert np.abs(np.load(tmp_path / "scores.npy") - wanted).max() <= 1e-6


def test_a_trace_that_is_cut_is_a_folder_error(exported: ModelFolder, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported.path, tmp_path / "model"))
    trace = folder / "clip.torchscript.pt"
    trace.write_bytes(trace.read_bytes()[:50_000])
    vouch(folder, trace.name)
    with pytest.raises(ModelFolderError, match="torch cannot load"):
        open_session(ModelFolder.open(folder, trust="code"), "torchscript", CPU)
