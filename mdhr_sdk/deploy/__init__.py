"""From a model folder's weights to graphs that run without the model's code (extra 'export')."""

from .export import DEFAULT_GRAPHS, export_onnx, export_torchscript
from .parity import ParityReport, check_parity
from .view import export_view

__all__ = ["DEFAULT_GRAPHS", "ParityReport", "check_parity", "export_onnx", "export_torchscript", "export_view"]
