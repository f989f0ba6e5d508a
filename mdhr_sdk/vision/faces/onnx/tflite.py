"""Read a network from a TFLite file: tensors, operators and their options, no more."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import SourceError, require

# Numbers and fields are those of TFLite's schema (tensorflow/lite/schema/schema.fbs).
KINDS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 14: "LOGISTIC",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 32: "CUSTOM", 34: "PAD", 45: "STRIDED_SLICE", 54: "PRELU",
}  # fmt: skip
# A file can say the same part of itself again and again; MediaPipe's have some hundreds of tables, and lists of ten.
MOST_TABLES, MOST_NUMBERS = 4096, 256
MOST_VALUES = 1 << 24  # of a tensor
MOST_CONSTANTS = 1 << 25  # of all that are not computed; several may be the same bytes
DTYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 2: np.dtype("<i4"), 3: np.dtype("u1")}


@dataclass(frozen=True)
class Tensor:
    """A tensor; `data` is None for what is computed."""

    shape: tuple[int, ...]
    data: NDArray[Any] | None


@dataclass(frozen=True)
class Operator:
    """One step.

    Attributes:
        kind: TFLite's name, or the own name of a custom operator.
        inputs, outputs: numbers of tensors; -1 for an input that is left out.
        options: table of its options, None without any.
        custom: options of a custom operator.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None
    custom: memoryview


@dataclass(frozen=True)
class Network:
    """A TFLite file's main graph."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Table:
    """A FlatBuffers table, whose fields are asked for by number."""

    def __init__(self, content: bytes, position: int) -> None:
        flatbuffers = require("flatbuffers", "onnx")
        require("flatbuffers.table", "onnx")
        self._table = flatbuffers.table.Table(content, position)
        self._types = require("flatbuffers.number_types", "onnx")

    def _at(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def number(self, field: int, default: int = 0, byte: bool = False) -> int:
        flags = self._types.Int8Flags if byte else self._types.Int32Flags
        return int(self._table.Get(flags, self._table.Pos + at)) if (at := self._at(field)) else default

    def text(self, field: int) -> str:
        return self._table.String(self._table.Pos + at).decode() if (at := self._at(field)) else ""

    def table(self, field: int) -> Table | None:
        at = self._at(field)
        return Table(self._table.Bytes, self._table.Indirect(self._table.Pos + at)) if at else None

    def tables(self, field: int) -> Iterator[Table]:
        if at := self._at(field):
            begin = self._table.Vector(at)
            for index in range(self._length(at, MOST_TABLES)):
                yield Table(self._table.Bytes, self._table.Indirect(begin + 4 * index))

    def numbers(self, field: int) -> tuple[int, ...]:
        at = self._at(field)
        return (
            struct.unpack_from(f"<{self._length(at, MOST_NUMBERS)}i", self._table.Bytes, self._table.Vector(at))
            if at
            else ()
        )

    def content(self, field: int) -> memoryview:
        at = self._at(field)
        begin = self._table.Vector(at) if at else 0
        return memoryview(self._table.Bytes)[begin : begin + (self._table.VectorLen(at) if at else 0)]

    def _length(self, at: int, most: int) -> int:
        if (length := int(self._table.VectorLen(at))) > most:
            raise ValueError(f"a list of {length:,} is longer than any of such a network ({most:,})")
        return length


def read_network(content: bytes, name: str) -> Network:
    """The main graph of a TFLite file.

    Raises:
        SourceError: it is no such file, or uses what is not known here.
        MissingDependencyError: flatbuffers is not installed.
    """
    try:
        return _read(content)
    except (struct.error, LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise SourceError(
            f"expected a network of MediaPipe in TFLite in {name}; {error or type(error).__name__}"
        ) from None


def _read(content: bytes) -> Network:
    if content[4:8] != b"TFL3":
        raise ValueError("its first bytes are another format's")
    root = Table(content, struct.unpack_from("<I", content)[0])
    codes = [(max(code.number(0, byte=True), code.number(3)), code.text(1)) for code in root.tables(1)]
    unknown = sorted({number for number, _ in codes} - set(KINDS))
    if unknown:
        raise ValueError(f"operators {unknown} are not known")
    kinds = [own if KINDS[number] == "CUSTOM" else KINDS[number] for number, own in codes]
    buffers = list(root.tables(4))
    graph, *_ = root.tables(2)
    tensors, values = list[Tensor](), 0
    for one in graph.tables(0):
        tensors.append(_tensor(one, buffers))
        values += 0 if tensors[-1].data is None else math.prod(tensors[-1].shape)
        if values > MOST_CONSTANTS:
            raise ValueError("its constants are more than any of such a network")
    operators = tuple(
        Operator(kinds[one.number(0)], one.numbers(1), one.numbers(2), one.table(4), one.content(5))
        for one in graph.tables(3)
    )
    return Network(tuple(tensors), operators, graph.numbers(1), graph.numbers(2))


def _tensor(table: Table, buffers: list[Table]) -> Tensor:
    shape, data = table.numbers(0), buffers[table.number(2)].content(0)
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_VALUES:
        raise ValueError(f"a tensor of shape {shape[:8]} is none of such a network")
    if not data:
        return Tensor(shape, None)
    return Tensor(shape, np.frombuffer(data, DTYPES[table.number(1, byte=True)]).reshape(shape))
