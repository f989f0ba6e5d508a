"""From a model folder's weights to graphs that run without PyTorch (extra 'export')."""

from .onnx_export import export_clip
from .parity import ParityReport, compare

__all__ = ["ParityReport", "compare", "export_clip"]
