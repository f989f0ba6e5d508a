"""int8: ONNX Runtime's static quantisation of an fp32 graph, as QDQ nodes that CPUs and TensorRT both take."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError, require
from ...modelfolder.config import FolderConfig
from ..parity.footage import as_input

OPERATORS = ("Conv", "Gemm", "MatMul")
PERCENTILE = 99.99  # of a tensor's values lie inside its range; frame differences have tails that would waste it
EXACT_LAYERS = 2  # the first ones, whose rounding all that follows inherits


def quantise(exact: Path, path: Path, config: FolderConfig, graph: str, clips: NDArray[np.uint8]) -> None:
    """Write the int8 form of a graph: weights per channel, activations per tensor, both symmetric.

    The first two layers stay in fp32: on a ResNet-18 the rounding of the first nearly doubled the error, on `edge` that
    of the second did. So does everything behind the encoder, which is small. Biases stay floats, since TensorRT takes
    no int32 ones.

    Args:
        exact: the fp32 graph.
        path: where the int8 graph goes.
        clips: uint8 crops (n, T, S, S, 3) whose activations set the ranges.
    """
    onnx, tools = require("onnx", "export"), require("onnxruntime.quantization", "export")
    with _quiet():
        tools.quantize_static(
            str(exact),
            str(path),
            _reader(tools, config, graph, clips),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_quantize=encoder_layers(onnx.load(exact).graph)[EXACT_LAYERS:],
            per_channel=True,
            reduce_range=saturates(),
            activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.Percentile,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "CalibPercentile": PERCENTILE,
                "CalibStridedMinMax": 1,  # activations of one clip at a time: those of a big model take gigabytes
            },
        )


def saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products of bytes overflow on this CPU (AVX2 without VNNI), where weights of 7 bits do not."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return "avx2" in words and not words & {"avx_vnni", "avx512_vnni"}


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


def _reader(tools: Any, config: FolderConfig, graph: str, clips: NDArray[np.uint8]) -> Any:
    """Feeds one clip, or the frames of one clip, at a time."""
    name = "clip" if graph.startswith("clip") else "frames"
    inputs = clips if graph.endswith("_u8") else as_input(clips, config)

    class Reader(tools.CalibrationDataReader):
        left = iter(inputs)

        def __len__(self) -> int:
            return len(inputs)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(inputs[start_index:end_index])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            clip = next(self.left, None)
            return None if clip is None else {name: clip[None] if name == "clip" else clip}

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
