"""fp16 and int8: what stays exact, what it costs, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from mdhr_sdk.deploy import LIMITS, Judge, ParityReport, export_graphs, export_view, verify
from mdhr_sdk.deploy.export import layers
from mdhr_sdk.deploy.export.half import half_view
from mdhr_sdk.deploy.export.layers import choose_layers
from mdhr_sdk.deploy.export.quantise import OPERATORS, encoder_layers
from mdhr_sdk.deploy.parity import verification
from mdhr_sdk.deploy.parity.pytorch_reference import WeightsReference
from mdhr_sdk.deploy.parity.report import report_on
from mdhr_sdk.errors import BackendError, ExportError
from mdhr_sdk.model import build_mdhr, calibrate, load_model, save_model
from mdhr_sdk.model.graphs import build_graph
from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.runtime.backends import onnxruntime as onnxruntime_backend
from mdhr_sdk.runtime.backends.onnxruntime import products_overflow
from reference import clip as reference_clip


@pytest.fixture
def rounded(tiny_rounded_folder: Path) -> ModelFolder:
    return ModelFolder.open(tiny_rounded_folder)


def graph_of(folder: ModelFolder, name: str) -> onnx.GraphProto:
    return onnx.load(folder.path / name).graph


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in graph.node for output in node.output}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip", "encoder", "head"])
def test_a_half_graph_takes_and_gives_floats_and_holds_halves(rounded: ModelFolder, name: str) -> None:
    graph = graph_of(rounded, f"{name}.fp16.onnx")
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    held = {TensorProto.FLOAT: 0, TensorProto.FLOAT16: 0}
    for tensor in graph.initializer:
        if tensor.data_type in held:
            held[tensor.data_type] += math.prod(tensor.dims)
    assert held[TensorProto.FLOAT16] > held[TensorProto.FLOAT]


@pytest.mark.slow
def test_region_logits_and_cached_projections_stay_in_single(rounded: ModelFolder) -> None:
    def dtypes(name: str, part: str) -> set[int]:
        return {t.data_type for t in graph_of(rounded, name).initializer if part in t.name}

    assert dtypes("clip.fp16.onnx", "relations.heads") == {TensorProto.FLOAT}
    assert dtypes("head.fp16.onnx", "relations.heads") == {TensorProto.FLOAT}
    assert dtypes("encoder.fp16.onnx", "project.convs") == {TensorProto.FLOAT}
    assert dtypes("clip.fp16.onnx", "project.convs") == {TensorProto.FLOAT16}, "differences come first there"
    assert dtypes("clip.fp16.onnx", "backbone") == {TensorProto.FLOAT16}


@pytest.mark.slow
def test_a_head_subtracts_before_it_rounds(rounded: ModelFolder) -> None:
    graph = graph_of(rounded, "head.fp16.onnx")
    casts = [node for node in graph.node if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16]
    made_by = [producers(graph)[node.input[0]].op_type for node in casts if node.input[0] in producers(graph)]
    assert made_by.count("Sub") == 4


@pytest.mark.slow
def test_half_precision_follows_the_model_over_subtle_motion() -> None:
    torch.manual_seed(0)
    model = build_mdhr(backbone="resnet18", projection_width=24, au_width=16, weight_width=4, input_size_px=64)
    calibrate(model, reference_clip(2, 6, 64))
    view = export_view(model, frames=6)
    x = torch.from_numpy(reference_clip(2, 6, 64, motion=0.02, seed=7))
    preprocessing = Preprocessing(size_px=64)
    with torch.inference_mode():
        wanted = model(x).scores
        clip = build_graph(half_view(view, cached=False), preprocessing, "clip", torch.float16)(x)[0]
        half = half_view(view, cached=True)
        features = build_graph(half, preprocessing, "encoder", torch.float16)(x.flatten(0, 1))
        parts = [value.unflatten(0, (2, 6)) for value in features]
        split = build_graph(half, preprocessing, "head", torch.float16)(*parts)[0]
    for got in (clip, split):
        assert got.dtype == torch.float32
        assert 0 < (got - wanted).abs().max() <= 1e-2 and (got - wanted).abs().mean() <= 2e-3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("clip", "fp16"), ("encoder", "fp16"), ("encoder", "int8")])
def test_the_manifest_says_what_precision_costs(rounded: ModelFolder, name: str, precision: str) -> None:
    entry = rounded.manifest[f"{name}.{precision}.onnx"]
    assert entry["options"]["precision"] == entry["parity"]["precision"] == precision
    assert entry["parity"]["failure"] == "" and entry["parity"]["decisions"] > 0
    assert 1e-7 < entry["parity"]["mean_score"] <= LIMITS[precision].mean_score


@pytest.mark.slow
def test_int8_rounds_the_encoder_but_its_first_two_layers(rounded: ModelFolder) -> None:
    graph = graph_of(rounded, "encoder.int8.onnx")
    made = producers(graph)
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    plain = [node for node in layers if made.get(node.input[0], node).op_type != "DequantizeLinear"]
    assert len(layers) == 20 and [layers.index(node) for node in plain] == [0, 1]
    scales = {tensor.name: tensor for tensor in graph.initializer}
    for node in layers[2:]:
        weight = made[node.input[1]]
        assert math.prod(scales[weight.input[1]].dims) == made_channels(scales[weight.input[0]], node), "one a channel"
        zero = onnx.numpy_helper.to_array(scales[made[node.input[0]].input[2]])
        assert zero.dtype == np.int8 and zero == 0, "TensorRT takes symmetric activations only"
        assert all(name in scales for name in node.input[2:]), "and no int32 bias"


class Layered:
    """A quantiser of so many layers; `trial` knows what each costs, and that costs add up."""

    weight_bits = 8

    def __init__(self, *costs: float) -> None:
        self.costs, self.tried = costs, list[tuple[str, ...]]()
        self.layers = {f"node_{i}": f"layer_{i}" for i in range(len(costs))}

    def trial(self, rounded: Collection[str]) -> ParityReport:
        self.tried.append(tuple(rounded))
        cost = sum(self.costs[int(name.removeprefix("node_"))] for name in rounded)
        return ParityReport("int8", 1, 1, 5 * cost, cost, 0, 1, 0, 0, 0.0, 0)


def test_layers_that_cost_little_are_rounded_without_a_search() -> None:
    model = Layered(9, 9, *[0.001] * 8)
    found = choose_layers(model, model.trial)  # type: ignore[arg-type]
    assert found.exact == ("layer_0", "layer_1") and len(found.rounded) == 8 and not found.alone
    assert len(model.tried) == 1 and next(found.lines()).startswith("8 of 10 layers in int8 (weights of 8 bits)")


def test_the_costliest_layers_stay_and_no_more_than_are_needed() -> None:
    model = Layered(9, 9, 0.001, 0.004, 0.001, 0.006, 0.001, 0.005, *[0.0001] * 8)
    found = choose_layers(model, model.trial)  # type: ignore[arg-type]
    assert found.exact == ("layer_0", "layer_1", "layer_5", "layer_7"), "0.0078 on average, of 0.02 that are allowed"
    assert [*found.alone][:3] == ["layer_5", "layer_7", "layer_3"] and found.alone["layer_5"] == (0.03, 0.006)
    assert model.tried[-1] == tuple(f"node_{i}" for i in range(2, 16) if i not in (5, 7)), "the file that was written"
    told = "\n".join(found.lines())
    assert "0.0300  0.00600  fp32  layer_5" in told and "0.0200  0.00400  int8  layer_3" in told
    assert json.loads(json.dumps(found.to_dict()))["rounded"][0] == "layer_2"


def test_what_no_half_of_the_layers_mends_is_left_to_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Layered(*[0.01] * 12)
    assert len(choose_layers(model, model.trial).exact) == 2 + 4  # type: ignore[arg-type]
    few = Layered(*[0.1] * 3)
    assert choose_layers(few, few.trial).rounded == ("layer_2",)  # type: ignore[arg-type]
    assert few.tried[-1] == ("node_2",), "the file that was written"
    monkeypatch.setattr(layers, "SEARCH_S", 0.0)
    found = choose_layers(model, model.trial)  # type: ignore[arg-type]
    assert not found.alone and len(found.rounded) == 10, "with no time there is nothing to choose by"
    with pytest.raises(ExportError, match="no layer to round beside its first 2"):
        choose_layers(Layered(1, 1), model.trial)  # type: ignore[arg-type]


@pytest.mark.slow
def test_weights_whose_products_overflow_here_are_neither_run_nor_judged(
    rounded: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ModelFolder.open(shutil.copytree(rounded.path, tmp_path / "model"))
    entry = folder.manifest["encoder.int8.onnx"]
    folder.note("encoder.int8.onnx", entry["sha256"], options={**entry["options"], "weight_bits": 8})
    before = folder.manifest
    monkeypatch.setattr(onnxruntime_backend, "products_overflow", lambda: True)
    with pytest.raises(BackendError, match=r"8-bit weights of encoder\.int8\.onnx overflow on this CPU"):
        open_session(folder, "onnxruntime", SessionOptions("cpu", 1, "int8"), "encoder")
    monkeypatch.setattr(verification, "exported", lambda target: {"encoder.int8.onnx": before["encoder.int8.onnx"]})
    told = dict(verify(folder.path, backends=["onnxruntime"]))
    assert "overflow on this CPU" in str(told["encoder.int8.onnx"]) and folder.manifest == before


def made_channels(weight: onnx.TensorProto, node: onnx.NodeProto) -> int:
    turned = any(a.name == "transB" and a.i for a in node.attribute) or node.op_type == "Conv"
    return int(weight.dims[0 if turned else 1])


def test_nothing_of_the_head_is_rounded(tiny_onnx_folder: Path) -> None:
    graph = graph_of(ModelFolder.open(tiny_onnx_folder), "clip.onnx")
    inputs = {node.name: node.input[1] for node in graph.node if len(node.input) > 1}
    found = [inputs[name] for name in encoder_layers(graph)]
    assert any("project" in name for name in found) and not any("head." in name for name in found)
    assert "backbone" in found[0]


@pytest.mark.slow
def test_a_head_whose_weights_were_renamed_is_not_rounded(tmp_path: Path) -> None:
    """Without dynamics and extractors a product of the head's comes before anything that bears its name."""
    torch.manual_seed(0)
    size = {"input_size_px": 64, "projection_width": 16, "au_width": 16, "weight_width": 4}
    model = build_mdhr("disfa", "test_resnet", mfd=False, extractors=False, **size)
    calibrate(model, reference_clip(2, 4, 64))
    folder = save_model(model, tmp_path / "model", clip_length=4)
    export_graphs(folder.path, graphs=["clip"])
    graph = graph_of(folder, "clip.onnx")
    own = [
        node.name for node in graph.node if node.op_type in OPERATORS and any("encoder." in name for name in node.input)
    ]
    assert encoder_layers(graph) == own and len(own) == 16
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = name.replace("encoder.", "renamed.")
    with pytest.raises(ExportError, match="names nothing as its encoder's"):
        encoder_layers(graph)


@pytest.mark.slow
def test_sessions_run_what_was_asked_for(rounded: ModelFolder) -> None:
    frames = np.random.default_rng(0).standard_normal((3, 3, 96, 96), dtype=np.float32)
    with torch.inference_mode():
        wanted = export_view(load_model(rounded), 4).encoder(torch.from_numpy(frames)).static.numpy()
    far = []
    for precision in ("fp16", "int8"):
        session, line = open_session(rounded, "onnxruntime", SessionOptions("cpu", 1, precision), "encoder")
        assert session.precision == precision and line == f"onnxruntime {precision} on cpu"
        far.append(np.abs(session.run({"frames": frames})["static"] - wanted).mean())
    assert 0 < far[0] < far[1]
    session, line = open_session(rounded, "onnxruntime", SessionOptions("cpu", 1, "int8"), "clip")
    assert session.precision == "int8" and line == "onnxruntime int8 on cpu, encoder, relations, temporal"
    with pytest.raises(BackendError, match=r"no encoder_u8\.int8\.onnx .*--precision int8 --calibrate"):
        open_session(rounded, "onnxruntime", SessionOptions("cpu", 1, "int8"), "encoder_u8")
    with pytest.raises(BackendError, match="it runs fp32, not int8"):
        open_session(rounded, "torch", SessionOptions("cpu", 1, "int8"), "encoder")
    with pytest.raises(BackendError, match="unknown precision 'half'"):
        open_session(rounded, "auto", SessionOptions("cpu", 1, "half"), "encoder")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"precision": "int4"}, "onnx comes in fp32, fp16, int8; got precision 'int4'"),
        ({"kind": "torchscript", "precision": "int8"}, "torchscript comes in fp32, fp16"),
        ({"graphs": ["clips"]}, "clip, encoder, head.*got clips"),
        ({"kind": "tflite"}, "unknown format 'tflite'; expected one of onnx, torchscript"),
        ({"precision": "int8"}, "--calibrate VIDEO_OR_FOLDER"),
        ({"precision": "int8", "graphs": ["head"], "calibrate": "x.mp4"}, "the head has no int8 form"),
    ],
)
def test_what_cannot_be_exported_is_refused_at_once(tiny_folder: Path, options: dict, hint: str) -> None:
    with pytest.raises(ExportError, match=hint):
        export_graphs(tiny_folder, **options)


def test_differences_are_counted_as_by_hand() -> None:
    wanted = {"scores": np.array([[[0.2, 0.495], [0.6, 0.9]]]), "region_logits_0": np.array([[[0.0, 4.0], [2.0, 1.0]]])}
    got = {"scores": np.array([[[0.3, 0.6], [0.4, 0.9]]]), "region_logits_0": np.array([[[0.0, 3.0], [1.0, 2.0]]])}
    report = report_on("fp16", 1, np.array([0.5, 0.5]), [(wanted, got)])
    assert (report.decision_flips, report.decisions) == (1, 3), "0.495 is too close to decide"
    assert (report.region_flips, report.regions) == (1, 2)
    assert report.max_score == pytest.approx(0.2) and report.mean_score == pytest.approx(
        (0.1 + 0.105 + 0.2) / 4, abs=0.03
    )
    assert report.feature == pytest.approx(1 / 4)
    assert "flip_share is 0.33, more than 0.01" in report.failure


def test_clips_that_come_again_are_counted_as_runs(tiny_folder: Path) -> None:
    folder = ModelFolder.open(tiny_folder)
    config, reference = folder.config, WeightsReference.load(folder)
    clips = np.random.default_rng(0).integers(0, 255, (4, 4, 96, 96, 3), dtype=np.uint8)
    for judge, batches in ((Judge(config, reference, clips), (1, 2)), (Judge(config, reference), (1, 2, 3, 5))):
        shown = {clip.tobytes() for batch in batches for clip in judge.probe(batch, bytes_in=False)[0]}
        assert judge.distinct(batches) == len(shown)
    assert Judge(config, reference, clips).distinct((1, 2, 3, 5)) == 4
    scores = {"scores": np.zeros((2, 4, 12))}
    report = report_on("fp32", 3, np.full(12, 0.5), [(scores, scores)] * 2)
    assert (report.clips, report.runs, report.decisions) == (3, 4, 4 * 4 * 12)
    assert "over 3 clips in 4 runs, 0 of 192 decisions flip" in str(report)


def test_weights_that_are_not_finite_fail_and_are_valid_json() -> None:
    wanted, got = {"scores": np.full((1, 2, 3), np.nan)}, {"scores": np.full((1, 2, 3), 0.5)}
    report = report_on("fp32", 1, np.full(3, 0.5), [(wanted, got)])
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["max_score"] is None and "max_score is nan" in told["failure"] and told["runs"] == 1


@pytest.mark.parametrize(
    ("flags", "narrow"),
    [("fpu avx2 fma", True), ("avx2 avx_vnni", False), ("avx2 avx512_vnni", False), ("asimd", False)],
)
def test_weights_are_narrow_where_products_of_bytes_would_overflow(tmp_path: Path, flags: str, narrow: bool):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    assert products_overflow(tmp_path / "cpuinfo") is narrow
    assert not products_overflow(tmp_path / "none")
