"""mdhr_sdk: facial action units from video, with MDHR (CVPR 2024).

`from mdhr_sdk import AUDetector` loads neither PyTorch nor any backend; those come with the folder that is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["AUDetector", "MDHRError", "Results", "__version__"]

if TYPE_CHECKING:
    from .detector import AUDetector
    from .errors import MDHRError
    from .outputs import Results

_HOMES = {"AUDetector": ".detector", "MDHRError": ".errors", "Results": ".outputs"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mdhr_sdk' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name], __name__), name)
