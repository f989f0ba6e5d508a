"""Load MediaPipe quietly."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from ....errors import MissingDependencyError, missing_library
from ...quiet import quiet
from .later import imported_later


def import_mediapipe() -> Any:
    """Import MediaPipe without its chatter.

    Raises:
        MissingDependencyError: it is not installed, or cannot be loaded.
    """
    # Protobuf 4 says at every face what is wrong with older versions of MediaPipe. Only this sentence of this package
    # is ignored; the caller's other filters stay.
    warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype", module=r"google\.protobuf\.")
    try:
        with quiet, imported_later("matplotlib", "pyplot"):  # for drawings in 3D: a third of a second
            mediapipe = importlib.import_module("mediapipe")
    except ModuleNotFoundError as error:
        if error.name != "mediapipe":
            raise
        raise MissingDependencyError(
            "finding faces needs mediapipe, which is not installed; run: pip install mediapipe"
        ) from None
    except (ImportError, OSError) as error:
        raise missing_library("MediaPipe", error) from None
    return mediapipe
