"""ONNX files of anybody: what a graph of `mdhr export` has is taken, everything else is refused on its bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from attacks_on_paths import vouch
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.modelfolder import onnx_sizes
from mdhr_sdk.modelfolder.bundled import ROOT
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.modelfolder.onnx_file import check_onnx
from mdhr_sdk.modelfolder.onnx_sizes import check_sizes

EDGE = ROOT / "edge"


def model(*nodes: Any, **more: Any) -> Any:
    """x -> Reshape -> Add -> y, with `nodes` before it."""
    constants = [
        numpy_helper.from_array(np.array([-1, 4]), "shape"),
        numpy_helper.from_array(np.zeros(4, "f4"), "zero"),
    ]
    ends = [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("Add", ["r", "zero"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph([*nodes, *ends], "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], **more)


def refused(content: bytes) -> str:
    with pytest.raises(ModelFolderError) as caught:
        check_onnx(content, "clip.onnx")
    return str(caught.value)


def external(made: Any, where: str = "location") -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    if where == "location":
        tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.data_location = TensorProto.EXTERNAL


def in_attribute(made: Any) -> None:
    external(made)
    tensor = made.graph.initializer.pop(0)
    made.graph.node.insert(0, helper.make_node("Constant", [], ["shape"], value=tensor))


def inner_graph(made: Any) -> None:
    made.graph.node[0].attribute.append(helper.make_attribute("body", made.graph))


def function(made: Any) -> None:
    made.functions.add(name="f", domain="local")


def operator(name: str, domain: str = "") -> Callable[[Any], None]:
    def change(made: Any) -> None:
        made.graph.node[1].op_type, made.graph.node[1].domain = name, domain

    return change


def computed_shape(made: Any) -> None:
    made.graph.node.insert(0, helper.make_node("Add", ["shape", "shape"], ["computed"]))
    made.graph.node[1].input[1] = "computed"


def claims(made: Any) -> None:
    made.graph.initializer[1].dims[0] = 1 << 40


def many_axes(made: Any) -> None:
    made.graph.initializer[1].dims.extend([1] * 100)


def test_what_export_writes_is_taken() -> None:
    check_onnx(model().SerializeToString(), "clip.onnx")
    for path in EDGE.glob("*.onnx"):
        check_onnx(path.read_bytes(), path)
        check_sizes(path.read_bytes(), path.name, 16 * 128 * 128, path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external, "external data"),
        (lambda made: external(made, "flag alone"), "external data"),
        (in_attribute, "external data"),
        (inner_graph, "graphs within the graph"),
        (function, "functions"),
        (operator("Loop"), "the operator 'Loop'"),
        (operator("EPContext", "com.microsoft"), "the operator 'EPContext'"),
        (operator("Add", "evil"), "an operator of 'evil'"),
        (operator("\x1b[2J"), r"the operator '\x1b[2J'"),
        (computed_shape, "the sizes that a Reshape makes are computed"),
        (claims, "claims more values than its 16 bytes hold"),
        (many_axes, "more than 16 axes"),
        (lambda made: made.graph.ClearField("node"), "it has 0 operators"),
        (lambda made: made.ClearField("graph"), "no ONNX file"),
    ],
)
def test_everything_else_is_refused(change: Callable[[Any], None], reason: str) -> None:
    made = model()
    change(made)
    assert reason in refused(made.SerializeToString())


def test_what_is_no_onnx_is_refused() -> None:
    whole = model().SerializeToString()
    for content in (b"", b"text", b"<xml/>", whole[: len(whole) // 2], whole + b"\x00", b"\xff" * 100, b"\x3a" * 100):
        assert "no ONNX file" in refused(content)
    assert "no ONNX file" in refused(b"\x08\x0a\x0a\x04ORTM" + whole), "the format of ONNX Runtime's own files"
    assert "no ONNX file" in refused(whole + whole), "two graphs in one file would become one"


def test_a_file_of_nothing_but_parts_ends() -> None:
    assert "parts" in refused(b"\x08\x00" * 4_000_000)


def test_sizes_are_known_before_anything_is_computed() -> None:
    columns = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.zeros(shape, "f4"), name))
        for name, shape in (("a", (60_000, 1)), ("b", (1, 60_000)))
    ]
    content = model(*columns, helper.make_node("MatMul", ["a", "b"], ["big"])).SerializeToString()
    check_onnx(content, "clip.onnx")
    with pytest.raises(ModelFolderError, match=r"makes 3,600,\d{3},\d{3} values .* 3,600,000,000 of them in 'big'"):
        check_sizes(content, "digest", 1000, "clip.onnx")
    unnamed = model()
    unnamed.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    with pytest.raises(ModelFolderError, match="nothing tells the size of"):
        check_sizes(unnamed.SerializeToString(), "unnamed", 1000, "clip.onnx")
    wrong = model(helper.make_node("MatMul", ["zero", "shape"], ["odd"])).SerializeToString()
    with pytest.raises(ModelFolderError, match=r"onnxruntime cannot load 'clip\.onnx': "):
        check_sizes(wrong, "wrong", 1000, "clip.onnx")


def test_what_is_damaged_where_only_sizes_are_read_is_refused() -> None:
    whole = model().SerializeToString()
    at = whole.rindex(b"\x0a\x01y")  # the name of the graph's output
    content = whole[:at] + b"\x0f" + whole[at + 1 :]  # a kind of field that there is not
    check_onnx(content, "clip.onnx")
    with pytest.raises(ModelFolderError, match=r"'clip\.onnx' is no graph that can be taken: it is no ONNX file"):
        check_sizes(content, "damaged", 1000, "clip.onnx")


def test_graphs_of_this_machine_are_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ModelFolder.open(shutil.copytree(EDGE, tmp_path / "model"))
    content = (EDGE / "temporal.onnx").read_bytes()
    seen: list[str] = []
    monkeypatch.setattr("mdhr_sdk.modelfolder.folder.check_onnx", lambda _, path: seen.append(path.name))
    monkeypatch.setattr(onnx_sizes, "_fits", set())
    assert folder.read("temporal.onnx") == content and seen == ["temporal.onnx"]
    with folder.writing("temporal.onnx", {}) as path:
        path.write_bytes(content)
    assert folder.read("temporal.onnx") == content and seen == ["temporal.onnx"]
    vouch(folder.path, "temporal.onnx", signature="0" * 64)
    assert folder.read("temporal.onnx") == content and seen == ["temporal.onnx"] * 2
    ModelFolder.open("edge").read("temporal.onnx")
    assert len(seen) == 2, "nor are those of the package"
