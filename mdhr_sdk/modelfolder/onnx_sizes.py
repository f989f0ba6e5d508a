"""How large the tensors of an ONNX graph become, found out before it is run.

Two constants of some kilobytes have a product of gigabytes. So ONNX Runtime infers every shape at batch 1, from the
graph alone: nothing is computed for it, and nothing but the file's own bytes is held in memory.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

from ..errors import ModelFolderError, require
from .onnx_file import BYTES, Walk

A_PIXEL, ALL_A_PIXEL = 64, 16_384  # values of one tensor, and of all, for each pixel of a clip
LEAST, LEAST_ALL = 1 << 24, 1 << 28
_fits: set[tuple[str, int]] = set()  # digests and pixels that were looked at in this process


def check_sizes(content: bytes, digest: str, pixels: int, path: object) -> None:
    """Check what a graph that `check_onnx` took would make of one clip.

    Args:
        digest: of the content.
        pixels: of a clip.

    Raises:
        ModelFolderError: a tensor is far larger than any of such a model, or its size cannot be told.
    """
    if (digest, pixels) in _fits or importlib.util.find_spec("onnxruntime") is None:  # where nothing runs it either
        return
    sizes = {}
    for name, shape in _shapes(content, path).items():
        if not all(isinstance(length, int) for length in shape):
            raise ModelFolderError(f"'{path}' is no graph that can be taken: nothing tells the size of '{name[:60]}'")
        sizes[name] = math.prod(shape)
    largest = max(sizes, key=sizes.__getitem__)
    if sizes[largest] > max(LEAST, A_PIXEL * pixels) or sum(sizes.values()) > max(LEAST_ALL, ALL_A_PIXEL * pixels):
        raise ModelFolderError(
            f"'{path}' is no graph that can be taken: it makes {sum(sizes.values()):,} values of a clip of {pixels:,} "
            f"pixels, {sizes[largest]:,} of them in '{largest[:60]}'; export it again"
        )
    _fits.add((digest, pixels))


def _shapes(content: bytes, path: object) -> dict[str, list[Any]]:
    """Name -> shape of everything that a node gives, at batch 1."""
    ort = require("onnxruntime", "all")
    wanted, free = _names(content)
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level, settings.intra_op_num_threads = 4, 1
    for name in free:
        settings.add_free_dimension_override_by_name(name, 1)
    outputs = b"".join(_field(12, _field(1, name.encode())) for name in wanted)  # of a graph: what it gives, by name
    try:  # messages of protobuf that follow each other are one: every intermediate becomes an output
        session = ort.InferenceSession(
            content + _field(7, outputs), settings, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's own exception types share no base
        reason = str(error).splitlines()[0]
        raise ModelFolderError(f"onnxruntime cannot load '{path}': {reason}") from None
    return {output.name: output.shape for output in session.get_outputs()}


def _names(content: bytes) -> tuple[list[str], set[str]]:
    """Values that nodes give and the graph does not, and the names of its inputs' free axes."""
    walk = Walk()
    (graph,) = walk.messages(memoryview(content), 7)
    given = [walk.text(name) for node in walk.messages(graph, 1) for name in walk.messages(node, 2)]
    outputs = {walk.text(name) for output in walk.messages(graph, 12) for name in walk.messages(output, 1)}
    free, axes = set(), walk.messages(graph, 11)
    for number in (2, 1, 2, 1):  # of a value: its type, of which the tensor's, of which the shape, of which the axes
        axes = [inside for one in axes for inside in walk.messages(one, number)]
    for axis in axes:
        free |= {walk.text(name) for name in walk.messages(axis, 2)}
    return [name for name in dict.fromkeys(given) if name and name not in outputs], free


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
