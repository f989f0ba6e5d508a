"""From a model folder's weights to graphs that run without the model's code (extra 'export')."""

from .export import DEFAULT_GRAPHS, FORMATS, export_graphs
from .parity import Judge
from .report import LIMITS, ParityReport
from .verify import verify
from .view import export_view

__all__ = ["DEFAULT_GRAPHS", "FORMATS", "LIMITS", "Judge", "ParityReport", "export_graphs", "export_view", "verify"]
