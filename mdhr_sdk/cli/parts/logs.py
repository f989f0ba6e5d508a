"""How much of the log is shown."""

from __future__ import annotations

import logging
from typing import Literal, Optional

LogLevel = Literal["debug", "info", "warning", "error"]


def set_log_level(level: Optional[LogLevel]) -> None:
    """Show what mdhr_sdk logs from this level on, on standard error, with time and level; None leaves all as it is."""
    if level is None:
        return
    log = logging.getLogger("mdhr_sdk")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(level.upper())
