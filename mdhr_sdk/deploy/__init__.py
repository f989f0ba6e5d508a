"""From a model folder's weights to graphs that run without the model's code (extra 'export').

Engines are built without PyTorch; everything else here loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "DEFAULT_GRAPHS",
    "FORMATS",
    "LIMITS",
    "Broken",
    "EngineOptions",
    "EngineReport",
    "Judge",
    "ParityReport",
    "build_engine",
    "export_each",
    "export_graphs",
    "export_view",
    "verify",
]

if TYPE_CHECKING:
    from .engines.build import EngineReport, build_engine
    from .engines.plan import EngineOptions
    from .export.exporter import DEFAULT_GRAPHS, FORMATS, export_each, export_graphs
    from .export.view import export_view
    from .parity.judge import Judge
    from .parity.report import LIMITS, Broken, ParityReport
    from .parity.verification import verify

_HOMES = {
    "engines.plan": ("EngineOptions",),
    "engines.build": ("EngineReport", "build_engine"),
    "export.exporter": ("DEFAULT_GRAPHS", "FORMATS", "export_each", "export_graphs"),
    "parity.judge": ("Judge",),
    "parity.report": ("LIMITS", "Broken", "ParityReport"),
    "parity.verification": ("verify",),
    "export.view": ("export_view",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module 'mdhr_sdk.deploy' has no attribute '{name}'")
