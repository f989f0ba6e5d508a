"""Attacks by what a model folder's graphs and code are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_content import DOCTOR, cut
from attacks_on_paths import Attack, folder_class, opens, vouch


def graph(change: Callable[[Any, Path], None]) -> Callable[[Path], None]:
    """Another clip graph, for which the manifest vouches."""

    def prepare(arena: Path) -> None:
        import onnx

        path = arena / "model" / "clip.onnx"
        model = onnx.load(path)
        change(model, arena)
        path.write_bytes(model.SerializeToString())
        vouch(arena / "model", "clip.onnx")

    return prepare


def external(where: str, in_attribute: bool = False) -> Callable[[Path], None]:
    """A tensor whose bytes lie in a file: of the working directory, of the home, of the folder."""

    def change(model: Any, arena: Path) -> None:
        import onnx

        place = where.replace("ARENA", str(arena))
        tensor = model.graph.initializer[0]
        for at in (arena / "work", arena / "home", arena / "model"):
            at.mkdir(exist_ok=True)
            (at / "stolen.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        if in_attribute:
            node = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
            model.graph.node.insert(0, node)
            del model.graph.initializer[0]

    return graph(change)


def bomb(nodes: Callable[[Any], list[Any]], opset: int = 18, domain: str = "") -> Callable[[Path], None]:
    """Nodes before all others, whose result is added to the input as nothing."""

    def change(model: Any, arena: Path) -> None:
        import onnx

        for index, node in enumerate(nodes(onnx)):
            model.graph.node.insert(index, node)
        if domain:
            model.opset_import.add(domain=domain, version=opset)
        first = model.graph.node[len(nodes(onnx))]
        model.graph.node.insert(
            len(nodes(onnx)), onnx.helper.make_node("Add", [model.graph.input[0].name, "zero"], ["bombed"])
        )
        for place, name in enumerate(first.input):
            if name == model.graph.input[0].name:
                first.input[place] = "bombed"

    return graph(change)


def _loop(onnx: Any) -> list[Any]:
    helper, kind = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["goes"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [helper.make_tensor_value_info(name, dtype, []) for name, dtype in (("i", 7), ("on", 9), ("x", 1))],
        [helper.make_tensor_value_info(name, dtype, []) for name, dtype in (("goes", 9), ("y", 1))],
    )
    constant = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, dtype, [], [value]))
        for name, dtype, value in (("often", kind.INT64, 1 << 62), ("true", kind.BOOL, True), ("none", kind.FLOAT, 0.0))
    ]
    return [*constant, helper.make_node("Loop", ["often", "true", "none"], ["zero"], body=body)]


def _deep_if(onnx: Any) -> list[Any]:
    helper, kind = onnx.helper, onnx.TensorProto
    out = [helper.make_tensor_value_info("o", 1, [])]
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["o"], value=helper.make_tensor("v", 1, [], [0.0]))], "g", [], out
    )
    true = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", kind.BOOL, [], [True]))
    least = inner
    for depth in range(20):
        other = inner if depth < 8 else least
        inner = helper.make_graph(
            [helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=other)], "g", [], out
        )
    return [true, helper.make_node("If", ["c"], ["zero"], then_branch=inner, else_branch=inner)]


def _filled(onnx: Any) -> list[Any]:
    helper = onnx.helper
    shape = helper.make_node("Constant", [], ["s"], value=helper.make_tensor("s", 7, [2], [60000, 60000]))
    fill = helper.make_node("ConstantOfShape", ["s"], ["big"])
    return [shape, fill, helper.make_node("ReduceSum", ["big"], ["zero"], keepdims=0)]


def _expanded(onnx: Any) -> list[Any]:
    helper = onnx.helper
    shape = helper.make_node("Constant", [], ["s"], value=helper.make_tensor("s", 7, [2], [60000, 60000]))
    one = helper.make_node("Constant", [], ["one"], value=helper.make_tensor("one", 1, [1], [0.0]))
    big = helper.make_node("Expand", ["one", "s"], ["big"])
    return [shape, one, big, helper.make_node("ReduceSum", ["big"], ["zero"], keepdims=0)]


def _outer(onnx: Any) -> list[Any]:
    """Two constants of 240 kB whose product has 14 GB."""
    helper, made = onnx.helper, []
    for name, shape in (("a", [60000, 1]), ("b", [1, 60000])):
        tensor = helper.make_tensor(name, 1, shape, np.zeros(60000, np.float32).tobytes(), raw=True)
        made.append(helper.make_node("Constant", [], [name], value=tensor))
    return [
        *made,
        helper.make_node("MatMul", ["a", "b"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["zero"], keepdims=0),
    ]


def _custom(onnx: Any) -> list[Any]:
    return [onnx.helper.make_node("Run", [], ["zero"], domain="evil")]


def _context(onnx: Any) -> list[Any]:
    return [
        onnx.helper.make_node(
            "EPContext", [], ["zero"], domain="com.microsoft", embed_mode=0, ep_cache_context="../home/x"
        )
    ]


def function(model: Any, arena: Path) -> None:
    import onnx

    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    opset = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(onnx.helper.make_function("local", "f", ["x"], ["y"], [node], opset))
    model.opset_import.add(domain="local", version=1)


def claimed_size(model: Any, arena: Path) -> None:
    """An initializer that claims to be larger than its bytes."""
    model.graph.initializer[0].dims[0] = 1 << 40


def traced(arena: Path) -> None:
    """A trace that makes a file beside the folder when it is run, in place of the graphs; the manifest vouches."""
    import torch

    folder, target = arena / "model", arena / "home" / "pwned"
    code = f"""
def forward(self, clip: Tensor) -> Tensor:
    return torch.from_file("{target}", True, 16) + clip.sum()
"""
    module = torch.jit.ScriptModule()
    module.define(code)
    module = torch.jit.freeze(module.eval())
    module.save(str(folder / "clip.torchscript.pt"))
    vouch(folder, "clip.torchscript.pt", options={"graph": "clip", "precision": "fp32"})
    for name in ("clip.onnx", "encoder.onnx", "relations.onnx", "temporal.onnx"):
        (folder / name).unlink()


def runs_code(arena: Path) -> str:
    """Opens by 'auto', and runs what came."""
    from mdhr_sdk.runtime import open_session

    session, choice = open_session(folder_class().open(arena / "model"))
    assert session.backend != "torchscript", "the trace was loaded"
    session.close()
    return choice


def engine(arena: Path, **target: Any) -> None:
    (arena / "model" / "tensorrt.timing-cache").write_bytes(b"cache")
    vouch(arena / "model", "tensorrt.timing-cache")
    (arena / "model" / "clip.engine").write_bytes(b"engine")
    vouch(arena / "model", "clip.engine", target=target, options={"graph": "clip", "precision": "fp32"})


def reads_code(arena: Path) -> str:
    return str(len(folder_class().open(arena / "model").read("clip.engine")))


def engine_for_nothing(arena: Path) -> None:
    engine(arena, compute_capabilities=[1, 2], version={"a": 1}, toolchain="tensorrt", device=[])


ATTACKS = (
    Attack("a graph cut off", cut("clip.onnx"), opens),
    Attack("external data, of the working directory", external("stolen.bin"), opens, given=True),
    Attack("external data, absolute", external("ARENA/home/stolen.bin"), opens, given=True),
    Attack("external data, '..'", external("../home/stolen.bin"), opens, given=True),
    Attack("external data in a Constant", external("stolen.bin", in_attribute=True), opens),
    Attack("external data; OpenVINO", external("stolen.bin"), lambda arena: opens(arena, backend="openvino")),
    Attack("a Loop of 2**62 turns", bomb(_loop), opens),
    Attack("If in If, 2**8 copies and 20 deep", bomb(_deep_if), opens),
    Attack("ConstantOfShape of 14 GB", bomb(_filled), opens),
    Attack("Expand to 14 GB", bomb(_expanded), opens),
    Attack("MatMul of two constants to 14 GB", bomb(_outer), opens),
    Attack("a custom operator", bomb(_custom, 1, "evil"), opens),
    Attack("EPContext, which names a file of native code", bomb(_context, 1, "com.microsoft"), opens),
    Attack("a local function", graph(function), opens),
    Attack("an initializer that claims 2**40 rows", graph(claimed_size), opens),
    Attack("a trace as code; auto", traced, runs_code, refused=False, torch=True, given=True),
    Attack("an engine of a stranger is read", engine, reads_code, given=True),
    Attack("an engine's target of wrong types; doctor", engine_for_nothing, DOCTOR, refused=False),
)
