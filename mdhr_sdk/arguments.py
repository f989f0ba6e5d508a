"""Checks of plain arguments: a word is neither yes nor no, and no number."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from .errors import ConfigError


def flag(name: str, value: object) -> bool:
    """`value` if it is True or False, or ConfigError: any word would count as true, 'no' too."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def is_number(value: object) -> bool:
    """Whether it is a number that a float can hold, and finite; True and '5' are none."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
