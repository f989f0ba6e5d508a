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
    from .engine_plan import EngineOptions
    from .engines import EngineReport, build_engine
    from .export import DEFAULT_GRAPHS, FORMATS, export_each, export_graphs
    from .parity import Judge
    from .report import LIMITS, Broken, ParityReport
    from .verification import verify
    from .view import export_view

_HOMES = {
    "engine_plan": ("EngineOptions",),
    "engines": ("EngineReport", "build_engine"),
    "export": ("DEFAULT_GRAPHS", "FORMATS", "export_each", "export_graphs"),
    "parity": ("Judge",),
    "report": ("LIMITS", "Broken", "ParityReport"),
    "verification": ("verify",),
    "view": ("export_view",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module 'mdhr_sdk.deploy' has no attribute '{name}'")
