"""The backends, one file each. What each runs on is only imported when it opens a graph."""

from .backend import Backend
from .onnxruntime import ONNXRUNTIME, ONNXRUNTIME_TENSORRT
from .openvino import OPENVINO
from .pytorch import TORCH
from .tensorrt import TENSORRT, TENSORRT_RTX
from .torchscript import TORCHSCRIPT

# In the order of `auto`, which takes the first that has no obstacle: an engine was built for a device on purpose; ONNX
# Runtime comes with every installation and runs on CUDA too; OpenVINO is as fast on CPUs in fp32, and faster in bf16
# when that is asked for.
BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (TENSORRT, TENSORRT_RTX, ONNXRUNTIME, ONNXRUNTIME_TENSORRT, OPENVINO, TORCHSCRIPT, TORCH)
}

__all__ = ["BACKENDS", "Backend"]
