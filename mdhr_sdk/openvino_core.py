"""The one OpenVINO core of a process, for the graphs of models and for those that find faces."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from .errors import require


def load_openvino() -> Any:
    """OpenVINO without its telemetry, which reports every import over the network from a process of its own."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    return require("openvino", "openvino")


@cache
def openvino_core() -> Any:
    """The core, kept until the end of the process.

    Each core's CPU plugin gives the thread a stack for signals, and frees it when the core goes. Of two cores, the one
    that goes last puts the other's freed stack back, and the next signal that Python handles kills the process.
    """
    return load_openvino().Core()
