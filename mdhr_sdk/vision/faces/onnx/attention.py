"""The three operators of MediaPipe's attention mesh that no runtime takes, from those that all take.

A matrix is (N, 4, 4) and maps the points of a part of the face (of an eye, of the lips) into the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import require
from .tflite import Network
from .writer import Writer

OUTPUTS = ("mesh", "lips", "left_eye", "right_eye", "left_iris", "right_iris", "presence")
MESH, IRIS = 468, 5  # landmarks
MOST_OPTIONS = 4096  # bytes of a custom operator's options; MediaPipe's have some hundreds
CONTOUR = 16  # of an eye's landmarks, the first are those of its edge


def places(network: Network) -> dict[str, list[int]]:
    """Which landmarks of the mesh the refined ones of the lips and the eyes are: the boxes are made around them."""
    boxes = [one for one in network.operators if one.kind == "Landmarks2TransformMatrix"]
    lists = [list(map(int, options_of(one.custom)["subset_idxs"])) for one in boxes]
    return dict(zip(OUTPUTS[1:4], lists, strict=True))


def joined(writer: Writer, parts: dict[str, str], places: dict[str, list[int]]) -> str:
    """(N, 1434): the mesh with the refined lips, eyes and irises. What is refined keeps the mesh's depth.

    An iris has no depth of its own: its landmarks get the mean of the edge of its eye.
    """
    mesh = writer.add("Reshape", parts["mesh"], writer.ints(0, MESH, 3))
    flat, source, begin = [_plane(writer, mesh)], list(range(MESH)), MESH
    for name in OUTPUTS[1:6]:
        count = len(places.get(name, range(IRIS)))
        flat.append(writer.add("Reshape", parts[name], writer.ints(0, count, 2)))
        rows = range(begin, begin + count)
        begin += count
        if name in places:
            for landmark, row in zip(places[name], rows, strict=True):
                source[landmark] = row
        else:
            source += rows
    plane = writer.add("Gather", writer.add("Concat", *flat, axis=1), writer.ints(*source), axis=1)
    depth = [_depth(writer, mesh)]
    for eye in ("left_eye", "right_eye"):
        edge = writer.add("Gather", depth[0], writer.ints(*places[eye][:CONTOUR]), axis=1)
        mean = writer.add("ReduceMean", edge, axes=[1], keepdims=1)
        depth += [mean] * IRIS
    whole = writer.add("Concat", plane, writer.add("Concat", *depth, axis=1), axis=2)
    return writer.add("Reshape", whole, writer.ints(0, 3 * (MESH + 2 * IRIS)))


def _plane(writer: Writer, points: str) -> str:
    return writer.add("Slice", points, writer.ints(0), writer.ints(2), writer.ints(2))


def _depth(writer: Writer, points: str) -> str:
    return writer.add("Slice", points, writer.ints(2), writer.ints(3), writer.ints(2))


def options_of(content: memoryview) -> dict[str, Any]:
    """The options of a custom operator, written as FlexBuffers: numbers, texts and lists of whole numbers.

    Lists in lists are not followed: a few bytes can say more of them than could ever be read.
    """
    if len(content) > MOST_OPTIONS:
        raise ValueError(f"an operator has {len(content):,} bytes of options")
    options = require("flatbuffers.flexbuffers", "onnx").GetRoot(bytes(content)).AsMap
    return {
        name.AsKey: [one.AsInt for one in value.AsVector] if value.IsVector else value.Value
        for name, value in zip(options.Keys, options.Values, strict=False)
    }


def landmarks_to_matrix(writer: Writer, landmarks: str, options: dict[str, Any]) -> str:
    """The matrix of the upright box around some landmarks: shift, turn, scale."""
    gather = lambda *numbers: writer.add("Gather", landmarks, writer.ints(*numbers), axis=1)  # noqa: E731
    x, y = (lambda points, axis=axis: _axis(writer, points, axis) for axis in (0, 1))
    ends = gather(int(options["left_rotation_idx"]), int(options["right_rotation_idx"]))
    dx, dy = (_difference(writer, one(ends)) for one in (x, y))
    length = writer.add("Sqrt", _sum(writer, writer.add("Mul", dx, dx), writer.add("Mul", dy, dy)))
    # Cosine and sine of the angle by which the box is turned back: minus that of the line from end to end.
    target = float(options["target_rotation_radians"])
    cosine, sine = _turned(writer, writer.add("Div", dx, length), writer.add("Div", dy, length), target)
    points = gather(*map(int, options["subset_idxs"]))
    across = _minus(writer, writer.add("Mul", cosine, x(points)), writer.add("Mul", sine, y(points)))
    down = _sum(writer, writer.add("Mul", sine, x(points)), writer.add("Mul", cosine, y(points)))
    (low_x, high_x), (low_y, high_y) = (_range(writer, one) for one in (across, down))
    middle_x, middle_y = (_half(writer, _sum(writer, *two)) for two in ((low_x, high_x), (low_y, high_y)))
    width, height = float(options["output_width"]), float(options["output_height"])
    scale_x = _times(writer, _minus(writer, high_x, low_x), float(options["scale_x"]) / width)
    scale_y = _times(writer, _minus(writer, high_y, low_y), float(options["scale_y"]) / height)
    # By the inverse turn (cosine, sine; -sine, cosine): columns of the matrix, then where its middle lies.
    a, b = writer.add("Mul", cosine, scale_x), writer.add("Mul", sine, scale_y)
    c, d = writer.add("Neg", writer.add("Mul", sine, scale_x)), writer.add("Mul", cosine, scale_y)
    at_x = _sum(writer, writer.add("Mul", cosine, middle_x), writer.add("Mul", sine, middle_y))
    at_y = _minus(writer, writer.add("Mul", cosine, middle_y), writer.add("Mul", sine, middle_x))
    shift_x = _minus(writer, at_x, _sum(writer, _times(writer, a, width / 2), _times(writer, b, height / 2)))
    shift_y = _minus(writer, at_y, _sum(writer, _times(writer, c, width / 2), _times(writer, d, height / 2)))
    zero = writer.add("Mul", a, writer.constant(0.0))
    one = writer.add("Add", zero, writer.constant(1.0))
    rows = [a, b, zero, shift_x, c, d, zero, shift_y, zero, zero, one, zero, zero, zero, zero, one]
    return writer.add("Reshape", writer.add("Concat", *rows, axis=1), writer.ints(0, 4, 4))


def transform_landmarks(writer: Writer, landmarks: str, matrix: str) -> str:
    """(N, P, 2) points by the matrix."""
    turn = _cut(writer, matrix, (0, 0), (2, 2))
    shift = writer.add("Transpose", _cut(writer, matrix, (0, 3), (2, 4)), perm=(0, 2, 1))
    turned = writer.add("MatMul", landmarks, writer.add("Transpose", turn, perm=(0, 2, 1)))
    return writer.add("Add", turned, shift)


def transform_picture(writer: Writer, picture: str, matrix: str, size: Any, out: Any) -> str:
    """A part of the (N, C, H, W) map, as large as `out`, bilinear, zero where it lies beyond the edge."""
    height, width = size
    y, x = np.mgrid[: out[0], : out[1]] + 0.5
    places = writer.constant(np.stack([x.ravel(), y.ravel()], axis=-1)[None])
    count = out[0] * out[1]
    moved = transform_landmarks(
        writer,
        writer.add("Expand", places, writer.add("Concat", _batch(writer, matrix), writer.ints(count, 2), axis=0)),
        matrix,
    )
    grid = _minus(writer, writer.add("Mul", moved, writer.constant([2 / width, 2 / height])), writer.constant(1.0))
    grid = writer.add("Reshape", grid, writer.ints(0, *out, 2))
    return writer.add("GridSample", picture, grid, mode="bilinear", padding_mode="zeros", align_corners=0)


def _batch(writer: Writer, value: str) -> str:
    return writer.add("Slice", writer.add("Shape", value), writer.ints(0), writer.ints(1))


def _cut(writer: Writer, matrix: str, begin: tuple[int, int], end: tuple[int, int]) -> str:
    return writer.add("Slice", matrix, writer.ints(*begin), writer.ints(*end), writer.ints(1, 2))


def _axis(writer: Writer, points: str, axis: int) -> str:
    """(N, P) one coordinate of points (N, P, 3)."""
    return writer.add("Gather", points, writer.constant(axis, np.int64), axis=2)


def _difference(writer: Writer, pair: str) -> str:
    """(N, 1): the second of two numbers minus the first."""
    first, second = (writer.add("Gather", pair, writer.ints(index), axis=1) for index in (0, 1))
    return _minus(writer, second, first)


def _turned(writer: Writer, cosine: str, sine: str, target: float) -> tuple[str, str]:
    """Cosine and sine of `target` minus the angle of the given ones."""
    to_cosine, to_sine = float(np.cos(target)), float(np.sin(target))
    new_cosine = _sum(writer, _times(writer, cosine, to_cosine), _times(writer, sine, to_sine))
    return new_cosine, _minus(writer, _times(writer, cosine, to_sine), _times(writer, sine, to_cosine))


def _range(writer: Writer, values: str) -> tuple[str, str]:
    low, high = (writer.add(kind, values, axes=[1], keepdims=1) for kind in ("ReduceMin", "ReduceMax"))
    return low, high


def _sum(writer: Writer, one: str, other: str) -> str:
    return writer.add("Add", one, other)


def _minus(writer: Writer, one: str, other: str) -> str:
    return writer.add("Sub", one, other)


def _times(writer: Writer, value: str, factor: float) -> str:
    return writer.add("Mul", value, writer.constant(factor))


def _half(writer: Writer, value: str) -> str:
    return _times(writer, value, 0.5)
