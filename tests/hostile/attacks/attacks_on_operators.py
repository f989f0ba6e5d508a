"""Attacks by single operators: whole numbers that a processor cannot divide, and attributes that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_graphs import bomb, graph
from attacks_on_paths import Attack, folder_class
from attacks_on_runtimes import constant, scores, scores_in_openvino, summed


def whole(operator: str, one: int, other: int, constants: bool = True) -> Callable[[Any], list[Any]]:
    """Whole numbers that a processor cannot divide."""

    def made(onnx: Any) -> list[Any]:
        make = onnx.helper.make_node
        nodes = [constant(onnx, "one", 7, [1], [one]), constant(onnx, "other", 7, [1], [other])]
        if not constants:
            nodes += [
                summed(onnx, "clip", "sum"), make("Cast", ["sum"], ["whole"], to=7),
                make("Sub", ["whole", "whole"], ["nought"]), make("Add", ["other", "nought"], ["changing"]),
            ]  # fmt: skip
        return [
            *nodes, make(operator, ["one", "other" if constants else "changing"], ["odd"]),
            make("Cast", ["odd"], ["real"], to=1), summed(onnx, "real", "sums"),
            make("Sub", ["sums", "sums"], ["zero"]),
        ]  # fmt: skip

    return made


def chain(length: int) -> Callable[[Any], list[Any]]:
    def made(onnx: Any) -> list[Any]:
        make = onnx.helper.make_node
        nodes = [summed(onnx, "clip", "v0")]
        nodes += [make("Sigmoid" if i % 2 else "Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]
        return [*nodes, make("Sub", [f"v{length}", f"v{length}"], ["zero"])]

    return made


def attribute(operator: str, inputs: dict[str, tuple[int, ...]], **facts: Any) -> Callable[[Any], list[Any]]:
    """One operator with an odd attribute, on constants."""

    def made(onnx: Any) -> list[Any]:
        make = onnx.helper.make_node
        nodes = [constant(onnx, name, 1, list(shape), [1.0] * int(np.prod(shape))) for name, shape in inputs.items()]
        return [
            *nodes, make(operator, list(inputs), ["odd"], **facts), summed(onnx, "odd", "sum"),
            make("Sub", ["sum", "sum"], ["zero"]),
        ]  # fmt: skip

    return made


def of_sequence(model: Any, arena: Path) -> None:
    """Scores as a list of tensors."""
    kind = model.graph.output[0].type
    kind.sequence_type.elem_type.tensor_type.elem_type = 1


def gathered(index: int) -> Callable[[Any], list[Any]]:
    """A row that a table has not."""

    def made(onnx: Any) -> list[Any]:
        make = onnx.helper.make_node
        return [
            constant(onnx, "table", 1, [4, 4], [1.0] * 16), constant(onnx, "row", 7, [1], [index]),
            make("Gather", ["table", "row"], ["odd"], axis=0), summed(onnx, "odd", "sum"),
            make("Sub", ["sum", "sum"], ["zero"]),
        ]  # fmt: skip

    return made


def sliced(start: int, end: int, step: int) -> Callable[[Any], list[Any]]:
    def made(onnx: Any) -> list[Any]:
        make = onnx.helper.make_node
        told = {"first": start, "last": end, "along": 0, "by": step}
        return [
            constant(onnx, "table", 1, [4, 4], [1.0] * 16),
            *(constant(onnx, name, 7, [1], [value]) for name, value in told.items()),
            make("Slice", ["table", *told], ["odd"]), summed(onnx, "odd", "sum"),
            make("Sub", ["sum", "sum"], ["zero"]),
        ]  # fmt: skip

    return made


def rounded(scale: float, points: int, axis: int) -> Callable[[Any], list[Any]]:
    """A table of int8 with an odd scale, another number of zero points, or along an axis that is not there."""

    def made(onnx: Any) -> list[Any]:
        make = onnx.helper.make_node
        return [
            constant(onnx, "table", 3, [4, 4], [1] * 16), constant(onnx, "scale", 1, [points], [scale] * points),
            constant(onnx, "point", 3, [points], [0] * points),
            make("DequantizeLinear", ["table", "scale", "point"], ["odd"], axis=axis),
            summed(onnx, "odd", "sum"), make("Sub", ["sum", "sum"], ["zero"]),
        ]  # fmt: skip

    return made


def scores_a_face(arena: Path) -> str:
    """Scores one crop in clip mode, as the detector does."""
    from mdhr_sdk.pipeline.clips import ClipScoring
    from mdhr_sdk.pipeline.clock import StageClock
    from mdhr_sdk.pipeline.scoring import Cut
    from mdhr_sdk.runtime import SessionOptions, open_session

    folder = folder_class().open(arena / "model")
    session, _ = open_session(folder, "onnxruntime", SessionOptions("cpu", threads=1))
    scoring, side = ClipScoring(session, folder.config, StageClock()), folder.config.preprocessing.size_px
    scoring.push({0: Cut(0, {0: np.zeros((side, side, 3), np.uint8)})})
    return f"{len(scoring.flush(0))} frames were scored"


LOW, HIGH = -(2**63), 2**63 - 1
IMAGE, KERNEL = {"x": (1, 1, 4, 4)}, {"x": (1, 1, 4, 4), "w": (1, 1, 2, 2)}
ATTACKS = (
    *(
        Attack(f"whole numbers: {op} of {one} by {by}{told}", bomb(whole(op, one, by, told == "")), act)
        for op, one, by in (("Div", 1, 0), ("Mod", 1, 0), ("Div", -(2**63), -1))
        for told, act in (("", scores), (", as it runs", scores))
    ),
    Attack("whole numbers: Div by 0; OpenVINO", bomb(whole("Div", 1, 0)), scores_in_openvino),
    Attack("whole numbers: Mod by 0; OpenVINO", bomb(whole("Mod", 1, 0, False)), scores_in_openvino, refused=False),
    Attack("whole numbers: Mod of the least by -1", bomb(whole("Mod", -(2**63), -1)), scores, refused=False),
    Attack(
        "whole numbers: Mod of the least by -1; OpenVINO", bomb(whole("Mod", -(2**63), -1, False)), scores_in_openvino,
        refused=False,
    ),
    Attack("40,000 operators in a row", bomb(chain(40_000)), scores, refused=False),
    Attack("strides of 0", bomb(attribute("Conv", KERNEL, strides=[0, 0])), scores),
    Attack("group of 0", bomb(attribute("Conv", KERNEL, group=0)), scores),
    Attack("dilations of 0", bomb(attribute("Conv", KERNEL, dilations=[0, 0])), scores),
    Attack("pads of 2**40", bomb(attribute("Conv", KERNEL, pads=[0, 0, 1 << 40, 1 << 40])), scores),
    Attack("a pool with strides of 0", bomb(attribute("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[0, 0])), scores),
    Attack("a pool with kernels of 0", bomb(attribute("AveragePool", IMAGE, kernel_shape=[0, 0])), scores),
    Attack("a Split into 0", bomb(attribute("Split", IMAGE, num_outputs=0)), scores),
    Attack("a Softmax over axis 99", bomb(attribute("Softmax", IMAGE, axis=99)), scores),
    Attack("a Concat at axis -99", bomb(attribute("Concat", IMAGE, axis=-99)), scores),
    Attack("a Transpose of one axis twice", bomb(attribute("Transpose", IMAGE, perm=[0, 0, 1, 1])), scores),
    Attack(
        "a LayerNormalization with too few scales",
        bomb(attribute("LayerNormalization", {"x": (1, 1, 4, 4), "s": (2,)})), scores,
    ),
    Attack("a Gemm of axes that do not fit", bomb(attribute("Gemm", {"a": (2, 3), "b": (4, 5)})), scores),
    Attack("a graph that gives a list of tensors", graph(of_sequence), scores),
    Attack("a graph that gives a list of tensors; OpenVINO", graph(of_sequence), scores_in_openvino),
    Attack("Gather of row 2**40", bomb(gathered(1 << 40)), scores),
    Attack("Gather of row 2**40; OpenVINO", bomb(gathered(1 << 40)), scores_in_openvino, refused=False),
    Attack("Gather of row -2**63; OpenVINO", bomb(gathered(LOW)), scores_in_openvino, refused=False),
    Attack("Slice by steps of -2**63", bomb(sliced(HIGH, LOW, LOW)), scores, refused=False),
    Attack("Slice by steps of -2**63; OpenVINO", bomb(sliced(HIGH, LOW, LOW)), scores_in_openvino, refused=False),
    Attack("Slice by steps of 0", bomb(sliced(0, 4, 0)), scores),
    Attack("Slice by steps of 0; OpenVINO", bomb(sliced(0, 4, 0)), scores_in_openvino),
    Attack("int8: a scale that is no number", bomb(rounded(float("nan"), 1, 0)), scores_a_face),
    Attack("int8: three zero points for four rows", bomb(rounded(1.0, 3, 0)), scores),
    Attack("int8: three zero points for four rows; OpenVINO", bomb(rounded(1.0, 3, 0)), scores_in_openvino),
    Attack("int8: along axis 99", bomb(rounded(1.0, 4, 99)), scores),
    Attack("int8: along axis 99; OpenVINO", bomb(rounded(1.0, 4, 99)), scores_in_openvino),
)  # fmt: skip
