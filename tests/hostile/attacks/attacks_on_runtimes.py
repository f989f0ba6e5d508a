"""Attacks by graphs that are well-formed: what they make of memory, types and numbers, and how their bytes are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_content import config
from attacks_on_graphs import bomb, graph
from attacks_on_paths import Attack, folder_class, vouch

BIG = (4096, 4000)  # values of one tensor that are allowed


def scores(arena: Path, backend: str = "onnxruntime") -> str:
    """Opens the clip graph, and runs it once."""
    from mdhr_sdk.runtime import SessionOptions, open_session

    folder = folder_class().open(arena / "model")
    session, choice = open_session(folder, backend, SessionOptions("cpu", threads=1))
    (spec,) = session.inputs
    found = session.run({spec.name: np.zeros([n or 1 for n in spec.shape], spec.dtype)})["scores"]
    labels = len(folder.config.model.label_set.aus)
    assert found.shape == (1, folder.config.clip_length, labels) and found.dtype == np.float32, (
        "wrong scores were taken"
    )
    return choice


def scores_in_openvino(arena: Path) -> str:
    return scores(arena, "openvino")


def pushes(arena: Path) -> str:
    """Scores some frames in stream mode."""
    from mdhr_sdk.runtime import SessionOptions, open_streams
    from mdhr_sdk.runtime.stream.scorer import StreamScorer

    graphs = open_streams(folder_class().open(arena / "model"), "onnxruntime", SessionOptions("cpu", threads=1))
    scorer, (spec,) = StreamScorer(graphs), graphs.encoder.inputs
    rng = np.random.default_rng(0)
    for _ in range(3):
        scorer.push({"face": rng.random(spec.shape[1:], np.float32)})
    last = scorer.finish()
    assert all(np.isfinite(one.probabilities).all() for one in last)
    return f"{len(last)} frames were scored"


def constant(onnx: Any, name: str, kind: int, shape: list[int], values: list[Any]) -> Any:
    return onnx.helper.make_node("Constant", [], [name], value=onnx.helper.make_tensor(name, kind, shape, values))


def expanded(onnx: Any, source: str, name: str, shape: tuple[int, ...] = BIG) -> list[Any]:
    size = constant(onnx, f"{name}_size", 7, [len(shape)], list(shape))
    return [size, onnx.helper.make_node("Expand", [source, f"{name}_size"], [name])]


def summed(onnx: Any, source: str, name: str) -> Any:
    return onnx.helper.make_node("ReduceSum", [source], [name], keepdims=0)


def all_alive(onnx: Any) -> list[Any]:
    """36 tensors of 65 MB, of which none can be freed before the last is made."""
    make, nodes = onnx.helper.make_node, [summed(onnx, "clip", "evil_sum_0")]
    for index in range(36):
        nodes += [
            *expanded(onnx, f"evil_sum_{index}", f"evil_big_{index}"),
            summed(onnx, f"evil_big_{index}", f"evil_sum_{index + 1}"),
        ]
    nodes.append(make("Sub", ["evil_sum_36", "evil_sum_36"], ["evil_back_36"]))
    for index in reversed(range(36)):
        nodes += [
            make("Mul", [f"evil_big_{index}", f"evil_back_{index + 1}"], [f"evil_again_{index}"]),
            summed(onnx, f"evil_again_{index}", f"evil_back_{index}"),
        ]
    return [*nodes, make("Identity", ["evil_back_0"], ["zero"])]


def all_constant(onnx: Any) -> list[Any]:
    """36 constants of 65 MB that are computed while the graph is opened."""
    nodes = [constant(onnx, "none", 1, [1], [0.0])]
    for index in range(36):
        nodes += [*expanded(onnx, "none", f"evil_big_{index}"), summed(onnx, f"evil_big_{index}", f"evil_sum_{index}")]
        last = f"evil_total_{index - 1}" if index else "none"
        nodes.append(onnx.helper.make_node("Add", [last, f"evil_sum_{index}"], [f"evil_total_{index}"]))
    return [*nodes, summed(onnx, "evil_total_35", "zero")]


def as_texts(onnx: Any) -> list[Any]:
    """Numbers as texts, of 32 bytes each."""
    make = onnx.helper.make_node
    nodes = [summed(onnx, "clip", "sum"), *expanded(onnx, "sum", "big")]
    for index in range(3):
        nodes += [make("Cast", ["big"], [f"text_{index}"], to=8)]
    back = [make("Cast", [f"text_{index}"], [f"evil_back_{index}"], to=1) for index in range(3)]
    return [
        *nodes, *back, make("Sub", ["evil_back_0", "evil_back_1"], ["d"]), make("Mul", ["d", "evil_back_2"], ["e"]),
        summed(onnx, "e", "zero"),
    ]  # fmt: skip


def unknown_rank(onnx: Any) -> list[Any]:
    """1.6 GB behind axes that are computed, so that nothing tells how many axes there are."""
    make = onnx.helper.make_node
    return [
        constant(onnx, "none", 1, [1, 1], [0.0]), constant(onnx, "nought", 7, [1], [0]),
        make("Add", ["nought", "nought"], ["axes"]), make("Squeeze", ["none", "axes"], ["flat"]),
        *expanded(onnx, "flat", "big", (20000, 20000)), summed(onnx, "big", "all"),
        constant(onnx, "one", 7, [1], [1]), make("Reshape", ["all", "one"], ["zero"]),
    ]  # fmt: skip


def overridden(model: Any, arena: Path) -> None:
    """1.6 GB by a size that is an input, too, so that it counts as no constant; and a lie about what it makes."""
    import onnx

    helper = onnx.helper
    model.graph.initializer.append(helper.make_tensor("size", 7, [2], [20000, 20000]))
    model.graph.input.append(helper.make_tensor_value_info("size", 7, [2]))
    model.graph.initializer.append(helper.make_tensor("none", 1, [1, 1], [0.0]))
    model.graph.value_info.append(helper.make_tensor_value_info("big", 1, [1, 1]))
    first = model.graph.node[0]
    for index, name in enumerate(first.input):
        first.input[index] = "bombed" if name == "clip" else name
    for node in (
        helper.make_node("Add", ["clip", "zero"], ["bombed"]), summed(onnx, "big", "zero"),
        helper.make_node("Expand", ["none", "size"], ["big"]),
    ):  # fmt: skip
        model.graph.node.insert(0, node)


def output_as(name: str, kind: int, file: str = "clip.onnx") -> Callable[[Path], None]:
    """An output of another kind of numbers."""

    def prepare(arena: Path) -> None:
        import onnx

        path = arena / "model" / file
        model = onnx.load(path)
        for node in model.graph.node:
            for index, given in enumerate(node.output):
                node.output[index] = "as_float" if given == name else given
        model.graph.node.append(onnx.helper.make_node("Cast", ["as_float"], [name], to=kind))
        (output,) = (one for one in model.graph.output if one.name == name)
        output.type.tensor_type.elem_type = kind
        path.write_bytes(model.SerializeToString())
        vouch(arena / "model", file)

    return prepare


def one_score_for_all(model: Any, arena: Path) -> None:
    """(B, T, 1) in place of (B, T, 15)."""
    import onnx

    for node in model.graph.node:
        for index, given in enumerate(node.output):
            node.output[index] = "all" if given == "scores" else given
    model.graph.node.append(constant(onnx, "last", 7, [1], [-1]))
    model.graph.node.append(onnx.helper.make_node("ReduceMean", ["all", "last"], ["scores"], keepdims=1))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 1


def raw(change: Callable[[bytes], bytes], file: str = "clip.onnx") -> Callable[[Path], None]:
    """Other bytes of a graph's file."""

    def prepare(arena: Path) -> None:
        path = arena / "model" / file
        path.write_bytes(change(path.read_bytes()))
        vouch(arena / "model", file)

    return prepare


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes, above: int = 0) -> bytes:
    """A message's field; `above` is what a tag of five bytes says beyond 32 bits, which protobuf drops."""
    return varint(above << 32 | number << 3 | 2) + varint(len(content)) + content


def in_graph(content: bytes, *fields: bytes) -> bytes:
    """More fields of the graph."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    own = model.graph.SerializeToString()
    model.ClearField("graph")
    return model.SerializeToString() + field(7, own + b"".join(fields))


def hidden_function(content: bytes) -> bytes:
    """A function, which protobuf sees and who reads tags of more than 32 bits does not."""
    import onnx

    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    made = onnx.helper.make_function("local", "f", ["x"], ["y"], [node], [onnx.helper.make_opsetid("", 18)])
    return content + field(25, made.SerializeToString(), above=1)


def hidden_external(arena: Path) -> None:
    """External data behind such tags."""
    import onnx

    path, target = arena / "model" / "clip.onnx", arena / "home" / "stolen.bin"
    model = onnx.load(path)
    tensor = next(one for one in model.graph.initializer if one.data_type == 1 and len(one.raw_data) > 64)
    target.write_bytes(tensor.raw_data)
    said = onnx.StringStringEntryProto(key="location", value=str(target)).SerializeToString()
    bare = onnx.TensorProto(name="hidden", data_type=1, dims=[1], raw_data=bytes(4))
    inner = bare.SerializeToString() + field(13, said, above=1) + varint(1 << 32 | 14 << 3) + varint(1)
    path.write_bytes(in_graph(path.read_bytes(), field(5, inner)))
    vouch(arena / "model", "clip.onnx")


def many_axes(content: bytes) -> bytes:
    """A tensor of 100 million axes."""
    return in_graph(content, field(5, field(1, b"\x01" * 100_000_000)))


def many_fields(content: bytes) -> bytes:
    """2.9 million fields that nobody knows, of two bytes each."""
    return content + field(31, b"") * 2_900_000


def long_name(content: bytes) -> bytes:
    """An operator with a name of 30 MB that reads what nobody gives."""
    import onnx

    node = onnx.helper.make_node("Relu", ["n" * 30_000_000], ["out"], name="m" * 30_000_000)
    return in_graph(content, field(1, node.SerializeToString()))


def nothing_out(content: bytes) -> bytes:
    import onnx

    node = onnx.helper.make_node("Relu", ["x"], [""])
    made = onnx.helper.make_graph([node], "g", [onnx.helper.make_tensor_value_info("x", 1, [1])], [])
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def huge_tensor(arena: Path) -> None:
    """A configuration for which a tensor of 2 GB is allowed, and a graph that makes it."""
    import onnx

    config(model__input_size_px=1024, clip_length=32, preprocessing={"size_px": 1024})(arena)
    helper, folder = onnx.helper, arena / "model"
    labels = json.loads((folder / "config.json").read_text())["model"]["label_set"]
    outputs = {"scores": len(labels["aus"])}
    outputs |= {f"region_logits_{i}": 2 ** len(one["aus"]) for i, one in enumerate(labels["layout"]["groups"])}
    nodes = [constant(onnx, "axes", 7, [3], [2, 3, 4]), constant(onnx, "last", 7, [1], [2])]
    nodes += [helper.make_node("ReduceMean", ["clip", "axes"], ["mean"], keepdims=0)]
    nodes += [summed(onnx, "mean", "sum"), *expanded(onnx, "sum", "big", (32768, 16384)), summed(onnx, "big", "all")]
    nodes += [
        helper.make_node("Add", ["mean", "all"], ["sums"]),
        helper.make_node("Unsqueeze", ["sums", "last"], ["u"]),
    ]
    for name, width in outputs.items():
        nodes += expanded(onnx, "u", name, (1, 32, width))
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("clip", 1, ["b", 32, 3, 1024, 1024])],
        [helper.make_tensor_value_info(name, 1, ["b", 32, width]) for name, width in outputs.items()],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / "clip.onnx").write_bytes(model.SerializeToString())
    vouch(folder, "clip.onnx")


ATTACKS = (
    Attack("36 tensors of 65 MB at once", bomb(all_alive), scores),
    Attack("36 constants of 65 MB, made at opening", bomb(all_constant), scores),
    Attack("36 constants of 65 MB; OpenVINO", bomb(all_constant), scores_in_openvino),
    Attack("a tensor of 2 GB, by a configuration of large clips", huge_tensor, scores),
    Attack("numbers as texts", bomb(as_texts), scores),
    Attack("1.6 GB behind computed axes", bomb(unknown_rank), scores),
    Attack("1.6 GB by an initializer that is an input", graph(overridden), scores),
    *(
        Attack(f"scores as kind {kind}", output_as("scores", kind), scores)
        for kind in (2, 7, 8, 9, 10, 11)
    ),
    Attack("scores as doubles; OpenVINO", output_as("scores", 11), scores_in_openvino),
    Attack("scores as whole numbers; OpenVINO", output_as("scores", 7), scores_in_openvino),
    Attack("an encoder's map as bytes; stream", output_as("map_1", 2, "encoder.onnx"), pushes),
    Attack("an encoder's map as bool; stream", output_as("map_4", 9, "encoder.onnx"), pushes),
    Attack("an encoder's tokens as halves; stream", output_as("static", 10, "encoder.onnx"), pushes),
    Attack("nodes as doubles; stream", output_as("nodes", 11, "relations.onnx"), pushes),
    Attack("one score for all AUs", graph(one_score_for_all), scores),
    Attack("one score for all AUs; OpenVINO", graph(one_score_for_all), scores_in_openvino),
    Attack("a function behind a long tag", raw(hidden_function), scores),
    Attack("external data behind long tags", hidden_external, scores),
    Attack("a tensor of 100 million axes", raw(many_axes), scores),
    Attack("2.9 million unknown fields", raw(many_fields), scores),
    Attack("a name of 30 MB in an error", raw(long_name), scores),
    Attack("a graph that gives nothing", raw(nothing_out), scores),
)  # fmt: skip
