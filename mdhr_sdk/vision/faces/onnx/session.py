"""Run a converted graph on the CPU: OpenVINO where it is installed, else ONNX Runtime."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ....errors import SourceError
from ....openvino_core import openvino_core


class Session(Protocol):
    """A graph that can be run."""

    def run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """(N, H, W, 3) uint8 RGB -> name of an output -> (N, size)."""


def runtime_name() -> str:
    """Which runtime `open_session` takes."""
    return "OpenVINO" if importlib.util.find_spec("openvino") is not None else "ONNX Runtime"


def open_session(content: bytes, name: str, threads: int = 1) -> Session:
    """Load a graph from its bytes; errors call it by its name.

    Raises:
        SourceError: it cannot be loaded.
    """
    try:
        return _OpenVINO(content, threads) if runtime_name() == "OpenVINO" else _ONNXRuntime(content, threads)
    except Exception as error:  # each runtime has its own
        reason = str(error).strip().partition("\n")[0]
        raise SourceError(
            f"the face graph {name} cannot be loaded: {reason}; make it anew: mdhr faces export"
        ) from None


class _OpenVINO:
    def __init__(self, content: bytes, threads: int) -> None:
        # In bfloat16, which is OpenVINO's choice on newer CPUs, landmarks lie eight times as far from MediaPipe's.
        options = {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }  # fmt: skip
        core = openvino_core()
        self._core, self._options, self._model = core, options, core.read_model(content, b"")
        self._requests: dict[int, Any] = {}  # one graph a batch size: fixed shapes run faster
        self.run(np.zeros((1, *self._size(), 3), np.uint8))

    def _size(self) -> tuple[int, int]:
        _, height, width, _ = self._model.input().partial_shape
        return height.get_length(), width.get_length()

    def run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        count = len(pixels)
        if count not in self._requests:
            model = self._model.clone()
            model.reshape({"pixels": list(pixels.shape)})
            self._requests[count] = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        # The answer lies in memory of the request, and is copied before that is used again.
        answer = self._requests[count].infer({"pixels": pixels}, share_inputs=True, share_outputs=True)
        return {output.any_name: np.array(value) for output, value in answer.items()}


class _ONNXRuntime:
    def __init__(self, content: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self._names, self._session.run(None, {"pixels": pixels}), strict=True))
