"""Checks of plain arguments: a word is neither yes nor no, and no number."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import TypeGuard

import numpy as np

from .errors import ConfigError


def flag(name: str, value: object) -> bool:
    """`value` if it is True or False, or ConfigError: any word would count as true, 'no' too."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that a float can hold, and finite; True and '5' are none."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def numbers_by_au(aus: Sequence[int], words: str, otherwise: float) -> tuple[float, ...]:
    """One number in [0, 1] an AU, from a list as '1=0.7,AU04=0.3'; `otherwise` for an AU that is not in it.

    Raises:
        ConfigError: a word is not of that kind, is of none of `aus`, or of an AU that was given before.
    """
    found: dict[int, float] = {}
    for word in filter(None, words.replace(" ", "").split(",")):
        parts = re.fullmatch(r"(?:AU)?([0-9]{1,2})=([01](?:[.][0-9]*)?)", word, re.IGNORECASE)
        if parts is None or int(parts[1]) not in aus or float(parts[2]) > 1 or int(parts[1]) in found:
            told = ", ".join(map(str, aus))
            raise ConfigError(
                f"expected AU=NUMBER, each AU once, of {told}, numbers in [0, 1], as in 1=0.7,4=0.3; got '{word}'"
            )
        found[int(parts[1])] = float(parts[2])
    return tuple(found.get(au, otherwise) for au in aus)
