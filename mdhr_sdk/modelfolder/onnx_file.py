"""What an ONNX file may hold, checked on its bytes before any runtime sees them. Needs neither `onnx` nor protobuf.

A graph of a model folder is data: one level of known operators, and every tensor's bytes in the file itself. External
data would be read from wherever the file says; functions, subgraphs, contexts of other compilers and custom operators
are nothing that `mdhr export` writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..errors import ModelFolderError

# What the parsers of ONNX Runtime, OpenVINO and TensorRT are known to take, fp32 and fp16 alike.
OPERATORS = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Reciprocal", "Clip", "Less", "Where", "Cast", "Mod"),
        *("Conv", "Gemm", "MatMul", "MaxPool", "AveragePool", "GlobalAveragePool", "LayerNormalization"),
        *("Relu", "LeakyRelu", "Elu", "Erf", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softmax"),
        *("ReduceMean", "ReduceSum", "ReduceL2", "ArgMax", "Gather", "Slice", "Split", "Concat", "Pad"),
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Constant", "Identity"),
        *("QuantizeLinear", "DequantizeLinear"),
    )
)
SHAPED = {"Reshape": 1, "Expand": 1, "Pad": 1, "Slice": 1}  # the input from which on values decide about sizes
MOST_NODES = 50_000
MOST_FIELDS = 600_000  # of all messages; the largest released model has 60,000
MOST_AXES = 16
ORT_FORMAT = b"ORTM"  # of ONNX Runtime's own files, which it would take for one by these bytes
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, int | memoryview]  # number, wire type, value


class _RefusedError(ValueError):
    """Why a file is not taken."""


def check_onnx(content: bytes, path: object) -> None:
    """Check a file of which nothing is known.

    Raises:
        ModelFolderError: it is no ONNX file, or holds what a graph of a model folder has no need of.
    """
    try:
        Walk().check_model(memoryview(content))
    except _RefusedError as error:
        raise ModelFolderError(f"'{path}' is no graph that can be taken: {error}; export it again") from None


class Walk:
    """One walk through a file; it ends where the file has far more parts than any graph."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def check_model(self, content: memoryview) -> None:
        fields = list(self.fields(content))
        if content[4:8] == ORT_FORMAT or sum(number == 7 for number, _, _ in fields) != 1:
            raise _RefusedError("it is no ONNX file")
        for number, kind, value in fields:
            if number == 7:
                self.check_graph(_message(kind, value))
            elif number == 25:
                raise _RefusedError("it holds functions")
            elif number == 20:
                raise _RefusedError("it holds what it was trained with")

    def check_graph(self, graph: memoryview) -> None:
        nodes, constants, given = [], set(), set()
        for number, kind, value in self.fields(graph):
            if number == 1:
                nodes.append(self.node(_message(kind, value)))
            elif number == 5:
                constants.add(self.check_tensor(_message(kind, value)))
            elif number == 11:
                given |= {_text(name) for name in self.messages(_message(kind, value), 1)}
            elif number == 15:
                raise _RefusedError("it holds sparse tensors")
        if not nodes or len(nodes) > MOST_NODES:
            raise _RefusedError(f"it has {len(nodes):,} operators, and 1 to {MOST_NODES:,} are taken")
        if both := sorted(constants & given):  # so it is no constant, and its values say nothing about sizes
            raise _RefusedError(f"'{both[0][:60]}' is both an input and a tensor of the file")
        constants.update(*(outputs for operator, _, outputs in nodes if operator == "Constant"))
        for operator, inputs, _ in nodes:
            decide = inputs[SHAPED[operator] :] if operator in SHAPED else ()
            if not all(not name or name in constants for name in decide):
                raise _RefusedError(f"the sizes that a {operator} makes are computed")

    def node(self, node: memoryview) -> tuple[str, list[str], list[str]]:
        """Operator, inputs and outputs, if the operator is a known one."""
        inputs, outputs, operator = [], [], ""
        for number, kind, value in self.fields(node):
            if number == 1:
                inputs.append(_text(_message(kind, value)))
            elif number == 2:
                outputs.append(_text(_message(kind, value)))
            elif number == 4:
                operator = _text(_message(kind, value))
                if operator not in OPERATORS:
                    raise _RefusedError(
                        f"it holds the operator '{operator[:60]}', which is none of those that mdhr export writes"
                    )
            elif number == 5:
                self.check_attribute(_message(kind, value))
            elif number == 7 and (domain := _text(_message(kind, value))) not in ("", "ai.onnx"):
                raise _RefusedError(f"it holds an operator of '{domain[:60]}'")
        return operator, inputs, outputs

    def check_attribute(self, attribute: memoryview) -> None:
        for number, kind, value in self.fields(attribute):
            if number == 5:
                self.check_tensor(_message(kind, value))
            elif number in (6, 11):
                raise _RefusedError("it holds graphs within the graph")
            elif number in (10, 22, 23):
                raise _RefusedError("it holds lists of tensors, or sparse ones")

    def check_tensor(self, tensor: memoryview) -> str:
        """The name of a tensor whose bytes are all here."""
        name, dims, size = "", [], 0
        for number, kind, value in self.fields(tensor):
            if number == 1:
                dims += _packed(value) if isinstance(value, memoryview) else [value]
                if len(dims) > MOST_AXES:
                    raise _RefusedError(f"a tensor has more than {MOST_AXES} axes")
            elif number == 8:
                name = _text(_message(kind, value))
            elif number == 13 or (number == 14 and value != 0):
                raise _RefusedError("a tensor's bytes lie in another file (external data)")
            elif number in (4, 5, 6, 7, 9, 10, 11):
                size += len(value) if isinstance(value, memoryview) else 8
        if math.prod(dims) > 2 * size:  # two of the smallest kind share a byte
            raise _RefusedError(f"the tensor '{name[:60]}' claims more values than its {size:,} bytes hold")
        return name

    def messages(self, message: memoryview, wanted: int) -> list[memoryview]:
        """Those of one field."""
        return [_message(kind, value) for number, kind, value in self.fields(message) if number == wanted]

    @staticmethod
    def text(value: memoryview) -> str:
        return _text(value)

    def fields(self, message: memoryview) -> Iterator[Field]:
        """The fields of a protobuf message, one level deep."""
        at, end = 0, len(message)
        while at < end:
            tag, at = _varint(message, at)
            if tag >> 32:  # protobuf would drop what is above, and read another field
                raise _RefusedError("it is no ONNX file")
            number, kind = tag >> 3, tag & 7
            value: int | memoryview
            if kind == VARINT:
                value, at = _varint(message, at)
            elif kind == BYTES:
                length, at = _varint(message, at)
                value, at = message[at : at + length], at + length
            elif kind in (FIXED32, FIXED64):
                length = 4 if kind == FIXED32 else 8
                value, at = message[at : at + length], at + length
            else:
                raise _RefusedError("it is no ONNX file")
            if at > end or number == 0:
                raise _RefusedError("it is no ONNX file, or cut off")
            self._left -= 1
            if self._left < 0:
                raise _RefusedError(f"it has more than {MOST_FIELDS:,} parts")
            yield number, kind, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(message):
            raise _RefusedError("it is no ONNX file, or cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise _RefusedError("it is no ONNX file")


def _packed(values: memoryview) -> list[int]:
    found, at = list[int](), 0
    while at < len(values) and len(found) <= MOST_AXES:
        value, at = _varint(values, at)
        found.append(value)
    return found


def _message(kind: int, value: int | memoryview) -> memoryview:
    if kind != BYTES or not isinstance(value, memoryview):
        raise _RefusedError("it is no ONNX file")
    return value


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", errors="replace")
