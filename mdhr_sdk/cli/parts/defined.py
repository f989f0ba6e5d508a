"""What JSON can hold."""

from __future__ import annotations

import math
from typing import Any


def defined(value: Any) -> Any:
    """The same value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: defined(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [defined(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
