"""How large the tensors of an ONNX graph become, found out before it is run.

Two constants of some kilobytes have a product of gigabytes. So ONNX Runtime infers every shape at batch 1, from the
graph alone: nothing is computed for it, and nothing but the file's own bytes is held in memory.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any, NamedTuple

from ..errors import ModelFolderError, require
from .onnx_file import BYTES, Walk

ALL_A_PIXEL = 16_384  # values that are made for each pixel of a clip
LEAST_ALL = 1 << 28
MOST_ALIVE = 512 << 20  # bytes that are there at once; the released models need half of it
BYTES_OF = {
    **{f"tensor({kind})": 8 for kind in ("double", "int64", "uint64")},
    **{f"tensor({kind})": 4 for kind in ("float", "int32", "uint32")},
    **{f"tensor({kind})": 2 for kind in ("float16", "bfloat16", "int16", "uint16")},
    **{f"tensor({kind})": 1 for kind in ("bool", "int8", "uint8")},
}
RANK = "mdhr_sdk_rank_of:"  # what a Shape node of ours gives
_fits: set[tuple[str, int]] = set()  # digests and pixels that were looked at in this process


class Node(NamedTuple):
    operator: str
    inputs: list[str]
    outputs: list[str]


class Value(NamedTuple):
    """What a node gives: ONNX Runtime's name of its type, and its shape, of which nothing may be open."""

    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * BYTES_OF[self.kind]


def check_sizes(content: bytes, digest: str, pixels: int, path: object) -> None:
    """Check what a graph that `check_onnx` took would make of one clip.

    Args:
        digest: of the content.
        pixels: of a clip.

    Raises:
        ModelFolderError: it takes far more memory than any of such a model, or its sizes cannot be told; or it holds
            texts, or divides whole numbers, which ends the process where they overflow.
    """
    if (digest, pixels) in _fits or importlib.util.find_spec("onnxruntime") is None:  # where nothing runs it either
        return
    try:
        nodes, outputs, own, free = _parts(content)
        values = _values(content, nodes, outputs, free, path)
        if odd := next((one for one in nodes if one.operator == "Div" and not _is_real(values, one)), None):
            raise ValueError(f"'{odd.outputs[0][:60]}' is a quotient of whole numbers")
        made, alive = sum(value.size for value in values.values()), _most_alive(nodes, values, outputs, own)
        if made > max(LEAST_ALL, ALL_A_PIXEL * pixels) or alive > MOST_ALIVE:
            name = max(values, key=lambda one: values[one].bytes)
            raise ValueError(
                f"it makes {made:,} values of a clip of {pixels:,} pixels, {values[name].size:,} of them in "
                f"'{name[:60]}', and at once they take {alive >> 20:,} MiB, of which {MOST_ALIVE >> 20} are taken"
            )
    except ValueError as error:
        raise ModelFolderError(f"'{path}' is no graph that can be taken: {error}; export it again") from None
    _fits.add((digest, pixels))


def _is_real(values: dict[str, Value], node: Node) -> bool:
    return all("int" not in values[name].kind for name in node.outputs if name)


def _values(content: bytes, nodes: list[Node], outputs: list[str], free: set[str], path: object) -> dict[str, Value]:
    """Everything that a node gives, by name, at batch 1.

    Raises:
        ValueError: the graph leaves a size or a number of axes open, or makes something else than numbers.
        ModelFolderError: ONNX Runtime does not take the graph.
    """
    ort = require("onnxruntime", "")
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level, settings.intra_op_num_threads = 4, 1
    settings.add_session_config_entry("session.strict_shape_type_inference", "1")  # no claim that it cannot confirm
    for name in free:
        settings.add_free_dimension_override_by_name(name, 1)
    given = list(dict.fromkeys(name for node in nodes for name in node.outputs if name))
    # Messages of protobuf that follow each other are one: every intermediate becomes an output, and so does its rank,
    # since a value of which nothing is known looks like one without axes.
    more = [_field(12, _field(1, name.encode())) for name in given if name not in outputs]
    for name in given:
        more.append(_field(1, _field(1, name.encode()) + _field(2, f"{RANK}{name}".encode()) + _field(4, b"Shape")))
        more.append(_field(12, _field(1, f"{RANK}{name}".encode())))
    try:
        session = ort.InferenceSession(
            content + _field(7, b"".join(more)), settings, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's own exception types share no base
        reason = str(error)[:1000].partition("\n")[0][:300]
        raise ModelFolderError(f"onnxruntime cannot load '{path}': {reason}") from None
    found: dict[str, Any] = {output.name: output for output in session.get_outputs()}
    return {name: _value(name, found[name], found[f"{RANK}{name}"]) for name in given}


def _value(name: str, found: Any, rank: Any) -> Value:
    if found.type not in BYTES_OF:
        raise ValueError(f"'{name[:60]}' is a {found.type[:60]}, and only numbers are taken")
    if list(rank.shape) != [len(found.shape)] or not all(isinstance(length, int) for length in found.shape):
        raise ValueError(f"nothing tells the size of '{name[:60]}'")
    return Value(found.type, tuple(found.shape))


def _most_alive(nodes: list[Node], values: dict[str, Value], outputs: list[str], own: set[str]) -> int:
    """Bytes that are needed at once, whether the nodes run as they stand or each just before what reads it.

    What depends on no input is computed when the graph is opened, and stays.
    """
    makers = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    orders = (range(len(nodes)), _just_before(nodes, makers, 1), _just_before(nodes, makers, -1))
    fixed = _constants(nodes, values, own)
    always = sum(values[name].bytes for name in fixed)
    return always + max(_peak([nodes[index] for index in order], values, fixed, outputs) for order in orders)


def _constants(nodes: list[Node], values: dict[str, Value], own: set[str]) -> set[str]:
    """What is computed of nothing but the file's own tensors. A node stands after those that it reads."""
    changing = {name for node in nodes for name in node.inputs if name and name not in values} - own
    for node in nodes:
        if not changing.isdisjoint(node.inputs):
            changing.update(node.outputs)
    return values.keys() - changing


def _peak(nodes: list[Node], values: dict[str, Value], fixed: set[str], outputs: list[str]) -> int:
    """Most bytes at once, if what nothing reads any more is freed."""
    last = {name: index for index, node in enumerate(nodes) for name in (*node.outputs, *node.inputs)}
    last |= dict.fromkeys(outputs, len(nodes))
    alive = most = 0
    for index, node in enumerate(nodes):
        touched = {name for name in (*node.outputs, *node.inputs) if name in values and name not in fixed}
        alive += sum(values[name].bytes for name in touched.intersection(node.outputs))
        most = max(most, alive)
        alive -= sum(values[name].bytes for name in touched if last[name] == index)
    return most


def _just_before(nodes: list[Node], makers: dict[str, int], step: int) -> list[int]:
    """The order in which each node runs after what it reads, from the first input on, or from the last."""
    read = {name for node in nodes for name in node.inputs}
    waiting = [(index, False) for index, node in enumerate(nodes) if read.isdisjoint(node.outputs)]
    begun, order = set[int](), list[int]()
    while waiting:
        index, ready = waiting.pop()
        if ready:
            order.append(index)
        elif index not in begun:
            begun.add(index)
            waiting.append((index, True))
            waiting += [(makers[name], False) for name in nodes[index].inputs[::-step] if name in makers]
    return order


def _parts(content: bytes) -> tuple[list[Node], list[str], set[str], set[str]]:
    """The nodes, the names of the graph's outputs and of the file's own tensors, and of the free axes of its inputs."""
    walk = Walk()
    (graph,) = walk.messages(memoryview(content), 7)
    nodes = [Node(*walk.node(node)) for node in walk.messages(graph, 1)]
    outputs = [walk.text(name) for output in walk.messages(graph, 12) for name in walk.messages(output, 1)]
    own = {walk.text(name) for tensor in walk.messages(graph, 5) for name in walk.messages(tensor, 8)}
    free, axes = set(), walk.messages(graph, 11)
    for number in (2, 1, 2, 1):  # of a value: its type, of which the tensor's, of which the shape, of which the axes
        axes = [inside for one in axes for inside in walk.messages(one, number)]
    for axis in axes:
        free |= {walk.text(name) for name in walk.messages(axis, 2)}
    return nodes, outputs, own, free


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
