"""Rewrite a TFLite network as ONNX, from standard operators alone.

Pictures are channels-last in TFLite and channels-first in ONNX; what is no picture keeps its order. The first dimension
is the number of faces or pictures. The graph takes uint8 pixels and scales them itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import MDHRError, SourceError, require
from . import attention
from .tflite import Network, Operator, read_network
from .writer import Writer

OPSET = 17
ACTIVATIONS = {0: None, 1: "Relu"}
MOST_PADDED = 1024
MOST_VALUES = 1 << 26  # of a tensor of one face or picture, as it runs
NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


class Converter:
    """Walks through a network's operators; `values` are the names of tensors in the graph that is written."""

    def __init__(self, network: Network, scale: tuple[float, float]) -> None:
        self.network, self.writer = network, Writer()
        self.data: dict[int, NDArray[Any]] = {
            number: tensor.data for number, tensor in enumerate(network.tensors) if tensor.data is not None
        }
        self.values: dict[int, str] = {}
        (self.input,) = network.inputs
        times, plus = scale
        pixels = self.writer.add("Cast", "pixels", to=1)
        pixels = self.writer.add("Transpose", pixels, perm=NCHW)
        pixels = self.writer.add("Mul", pixels, self.writer.constant(times))
        self.values[self.input] = self.writer.add("Add", pixels, self.writer.constant(plus)) if plus else pixels

    def outputs(self) -> list[str]:
        """Convert all; returns the outputs, each (N, size) in TFLite's order."""
        self._run()
        sizes = [int(np.prod(self.shape(number))) for number in self.network.outputs]
        return [
            self.writer.add("Reshape", self.ordered(number), self.writer.ints(0, size))
            for number, size in zip(self.network.outputs, sizes, strict=True)
        ]

    def _run(self) -> None:
        steps: dict[str, Callable[[Operator], None]] = {
            "DEQUANTIZE": self._dequantize, "CONV_2D": self._convolution, "DEPTHWISE_CONV_2D": self._convolution,
            "PRELU": self._prelu, "RELU": self._unary, "LOGISTIC": self._unary, "ADD": self._binary,
            "MUL": self._binary, "MAX_POOL_2D": self._max_pool, "PAD": self._pad, "RESHAPE": self._reshape,
            "CONCATENATION": self._concatenation, "STRIDED_SLICE": self._whole_slice,
            "Landmarks2TransformMatrix": self._custom, "TransformTensorBilinear": self._custom,
            "TransformLandmarks": self._custom,
        }  # fmt: skip
        for operator in self.network.operators:
            if operator.kind not in steps:
                raise SourceError(f"the network has an operator {operator.kind}, which cannot be converted")
            steps[operator.kind](operator)

    def shape(self, number: int) -> tuple[int, ...]:
        return self.network.tensors[number].shape

    def value(self, number: int) -> str:
        """The name of a tensor in the graph; constants are written when they are asked for."""
        if number not in self.values:
            data = self.data[number]
            self.values[number] = self.writer.constant(data.transpose(NCHW) if data.ndim == 4 else data)
        return self.values[number]

    def ordered(self, number: int) -> str:
        """The same with TFLite's order of dimensions."""
        picture = len(self.shape(number)) == 4
        return self.writer.add("Transpose", self.value(number), perm=NHWC) if picture else self.value(number)

    def _put(self, operator: Operator, value: str, activation: int = 0) -> None:
        if activation not in ACTIVATIONS:
            raise SourceError(f"the network has an activation {activation}, which cannot be converted")
        kind = ACTIVATIONS[activation]
        self.values[operator.outputs[0]] = self.writer.add(kind, value) if kind else value

    def _dequantize(self, operator: Operator) -> None:
        # Once each: two of one tensor, or of what is float already, are in no network of MediaPipe's.
        self.data[operator.outputs[0]] = self.data.pop(operator.inputs[0]).astype(np.float32)

    def _convolution(self, operator: Operator) -> None:
        options, depthwise = operator.options, operator.kind == "DEPTHWISE_CONV_2D"
        assert options is not None
        picture, weights, *bias = operator.inputs
        kernel = self.data[weights]
        height, width = kernel.shape[1:3]
        strides = [options.number(2), options.number(1)]
        if any(options.number(field, 1) != 1 for field in ((5, 6) if depthwise else (4, 5))):
            raise SourceError("the network has a dilated convolution, which cannot be converted")
        value = self.writer.add(
            "Conv",
            self.value(picture),
            self.writer.constant(kernel.transpose((3, 0, 1, 2) if depthwise else NCHW)),
            *(self.writer.constant(self.data[one]) for one in bias),
            kernel_shape=[height, width],
            strides=strides,
            group=kernel.shape[3] if depthwise else 1,
            pads=_pads(self.shape(picture)[1:3], (height, width), strides, options.number(0, byte=True)),
        )
        self._put(operator, value, options.number(4 if depthwise else 3, byte=True))

    def _max_pool(self, operator: Operator) -> None:
        options = operator.options
        assert options is not None
        kernel, strides = [options.number(4), options.number(3)], [options.number(2), options.number(1)]
        pads = _pads(self.shape(operator.inputs[0])[1:3], kernel, strides, options.number(0, byte=True))
        picture = self.value(operator.inputs[0])
        value = self.writer.add("MaxPool", picture, kernel_shape=kernel, strides=strides, pads=pads)
        self._put(operator, value, options.number(5, byte=True))

    def _prelu(self, operator: Operator) -> None:
        picture, slope = operator.inputs
        self._put(
            operator,
            self.writer.add("PRelu", self.value(picture), self.writer.constant(self.data[slope].reshape(-1, 1, 1))),
        )

    def _unary(self, operator: Operator) -> None:
        kind = {"RELU": "Relu", "LOGISTIC": "Sigmoid"}[operator.kind]
        self._put(operator, self.writer.add(kind, self.value(operator.inputs[0])))

    def _binary(self, operator: Operator) -> None:
        one, other = (self.value(number) for number in operator.inputs)
        options = operator.options
        self._put(
            operator,
            self.writer.add(operator.kind.capitalize(), one, other),
            options.number(0, byte=True) if options else 0,
        )

    def _pad(self, operator: Operator) -> None:
        pads = self.data[operator.inputs[1]]
        if np.min(pads) < 0 or np.max(pads) > MOST_PADDED:
            raise SourceError(f"the network pads by more than {MOST_PADDED}, which cannot be converted")
        before, after = ([int(pads[axis, side]) for axis in NCHW] for side in (0, 1))
        self._put(operator, self.writer.add("Pad", self.value(operator.inputs[0]), self.writer.ints(*before, *after)))

    def _reshape(self, operator: Operator) -> None:
        shape = self.shape(operator.outputs[0])
        value = self.writer.add("Reshape", self.ordered(operator.inputs[0]), self.writer.ints(0, *shape[1:]))
        self._put(operator, self.writer.add("Transpose", value, perm=NCHW) if len(shape) == 4 else value)

    def _concatenation(self, operator: Operator) -> None:
        options = operator.options
        axis = options.number(0) if options else 0
        if len(self.shape(operator.inputs[0])) == 4:
            axis = NHWC.index(axis % 4)
        self._put(operator, self.writer.add("Concat", *map(self.value, operator.inputs), axis=axis))

    def _whole_slice(self, operator: Operator) -> None:
        if self.shape(operator.inputs[0]) != self.shape(operator.outputs[0]):
            raise SourceError("the network cuts a tensor, which cannot be converted")
        self._put(operator, self.value(operator.inputs[0]))

    def _custom(self, operator: Operator) -> None:
        inputs = [self.value(number) for number in operator.inputs]
        if operator.kind == "Landmarks2TransformMatrix":
            value = attention.landmarks_to_matrix(self.writer, inputs[0], attention.options_of(operator.custom))
        elif operator.kind == "TransformLandmarks":
            value = attention.transform_landmarks(self.writer, inputs[0], inputs[1])
        else:
            picture, matrix = inputs
            size, out = self.shape(operator.inputs[0])[1:3], self.shape(operator.outputs[0])[1:3]
            value = attention.transform_picture(self.writer, picture, matrix, size, out)
        self._put(operator, value)


def _pads(size: Any, kernel: Any, strides: Any, valid: int) -> list[int]:
    """TFLite's padding 'same', if it is not `valid`: top, left, bottom, right."""
    total = [
        0 if valid else max((-(-length // step) - 1) * step + reach - length, 0)
        for length, reach, step in zip(size, kernel, strides, strict=True)
    ]
    return [one // 2 for one in total] + [one - one // 2 for one in total]


def detector_graph(content: bytes, name: str) -> Any:
    """The face detector as an ONNX model: `boxes` (N, 14336) and `scores` (N, 896).

    Raises:
        SourceError, MissingDependencyError: as `_finished`.
    """
    network = read_network(content, name)
    with _refusing(name):
        converter = Converter(network, scale=(2 / 255, -1.0))
        return _finished(converter, dict(zip(("boxes", "scores"), converter.outputs(), strict=True)))


def mesh_graph(content: bytes, name: str) -> Any:
    """The landmark network as an ONNX model: `landmarks` (N, 1434) in pixels of its input, and `presence` (N, 1).

    It is the attention mesh of a wheel, whose parts are put together here, or the network of a task file.

    Raises:
        SourceError, MissingDependencyError: as `_finished`.
    """
    network = read_network(content, name)
    with _refusing(name):
        converter = Converter(network, scale=(1 / 255, 0.0))
        outputs = converter.outputs()
        if len(outputs) != len(attention.OUTPUTS):
            return _finished(converter, {"landmarks": outputs[0], "presence": outputs[1]})
        parts = dict(zip(attention.OUTPUTS, outputs, strict=True))
        landmarks = attention.joined(converter.writer, parts, attention.places(network))
        return _finished(converter, {"landmarks": landmarks, "presence": parts["presence"]})


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """A file that says one thing here and another there fails anywhere, in this code or in a library."""
    try:
        yield
    except MDHRError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceError(f"the network in {name} cannot be converted ({reason}); take MediaPipe's own") from None


def _finished(converter: Converter, outputs: dict[str, str]) -> Any:
    """A model whose input `pixels` is (N, H, W, 3) uint8 RGB, and whose outputs are (N, size) float32.

    Raises:
        SourceError: an operator that is not known here.
        MissingDependencyError: onnx is not installed.
    """
    onnx = require("onnx", "onnx")
    writer, told = converter.writer, []
    for name, value in outputs.items():
        writer.nodes.append(onnx.helper.make_node("Flatten", [value], [name], axis=1))
        told.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", None]))
    _, height, width, _ = converter.shape(converter.input)
    pixels = onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["N", height, width, 3])
    graph = onnx.helper.make_graph(writer.nodes, "faces", [pixels], told, writer.constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    for value in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
        if math.prod(max(1, one.dim_value) for one in value.type.tensor_type.shape.dim) > MOST_VALUES:
            raise SourceError(
                "the network computes a tensor of more values than any of MediaPipe's; take MediaPipe's own"
            )
    return model
