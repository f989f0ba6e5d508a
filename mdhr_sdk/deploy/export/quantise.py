"""int8: ONNX Runtime's static quantisation of an fp32 graph, as QDQ nodes that CPUs and TensorRT both take."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError, require
from ...modelfolder.config import FolderConfig
from ...runtime.backends.onnxruntime import products_overflow
from ..parity.footage import as_input

OPERATORS = ("Conv", "Gemm", "MatMul")
PERCENTILE = 99.999  # of a tensor's values lie inside its range; frame differences have tails that would waste it


class Quantiser:
    """An fp32 graph with the ranges of its activations, measured once: int8 graphs of any layers come from it.

    Weights are rounded per channel, activations per tensor, both symmetric. Biases stay floats, since TensorRT takes no
    int32 ones. Everything behind the encoder, which is small, stays as it is.

    Attributes:
        layers: name of each layer that can be int8 -> how people call it, in the graph's order.
        weight_bits: 7 where products of bytes overflow on this CPU, else 8.
    """

    def __init__(self, exact: Path, config: FolderConfig, graph: str, clips: NDArray[np.uint8]) -> None:
        """Measure.

        Args:
            exact: the fp32 graph.
            clips: uint8 crops (n, T, S, S, 3) whose activations set the ranges.
        """
        onnx, self._tools = require("onnx", "export"), require("onnxruntime.quantization", "export")
        self._model = onnx.shape_inference.infer_shapes(onnx.load(exact))
        self.weight_bits = 7 if products_overflow() else 8
        weights = {node.name: node.input[1] for node in self._model.graph.node if len(node.input) > 1}
        self.layers = {name: _called(weights[name], name) for name in encoder_layers(self._model.graph)}
        augmented = exact.with_name(f"{exact.name}.ranges")
        try:
            with _quiet():
                calibrator = self._tools.create_calibrator(
                    exact,
                    list(OPERATORS),
                    augmented_model_path=str(augmented),
                    calibrate_method=self._tools.CalibrationMethod.Percentile,
                    extra_options={"percentile": PERCENTILE},
                )
                for clip in clips:  # one at a time: the activations of a big model take gigabytes
                    calibrator.collect_data(_reader(self._tools, config, graph, clip))
                self._ranges = calibrator.compute_data()
        finally:
            augmented.unlink(missing_ok=True)

    def write(self, path: Path, rounded: Collection[str]) -> None:
        """Write the graph with these layers in int8."""
        tools = self._tools
        quantiser = tools.QDQQuantizer(
            copy.deepcopy(self._model),
            per_channel=True,
            reduce_range=self.weight_bits == 7,
            weight_qType=tools.QuantType.QInt8,
            activation_qType=tools.QuantType.QInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=list(rounded),
            nodes_to_exclude=[],
            op_types_to_quantize=list(OPERATORS),
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        with _quiet():
            quantiser.quantize_model()
            quantiser.model.save_model_to_file(str(path))


def _called(weight: str, node: str) -> str:
    """A layer as the model calls it; the node's name where constant folding renamed its weight."""
    return weight.removeprefix("model.").removesuffix(".weight") if _is_of("encoder", weight) else node


def encoder_layers(graph: Any) -> list[str]:
    """Names of the nodes that multiply by a weight and that nothing of the head comes before, in the graph's order.

    The head is known by the names of its weights, where constant folding left them; a product that it renamed is the
    head's if it comes after the last node that reads something named as the encoder's.

    Raises:
        ExportError: nothing is named as the encoder's.
    """
    own = [i for i, node in enumerate(graph.node) if any(_is_of("encoder", name) for name in node.input)]
    if not own:
        raise ExportError("the graph names nothing as its encoder's, so int8 does not know what to round; take fp16")
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) >= 2}
    behind: set[str] = set()  # tensors that depend on the head
    found = []
    for node in graph.node[: own[-1] + 1]:
        if any(name in behind or _is_of("head", name) for name in node.input):
            behind.update(node.output)
        elif node.op_type in OPERATORS and len(node.input) > 1 and node.input[1] in weights:
            found.append(node.name)
    return found


def _is_of(part: str, tensor: str) -> bool:
    """Whether a weight of the model bears the name of that part of it."""
    return tensor.removeprefix("model.").startswith(f"{part}.")


def _reader(tools: Any, config: FolderConfig, graph: str, clip: NDArray[np.uint8]) -> Any:
    """Feeds one clip, or its frames."""
    clips = clip[None]
    inputs = clips if graph.endswith("_u8") else as_input(clips, config)
    feed = {"clip": inputs} if graph.startswith("clip") else {"frames": inputs[0]}

    class Reader(tools.CalibrationDataReader):
        left = iter([feed])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.left, None)

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints its progress, and advises what the export has done already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
