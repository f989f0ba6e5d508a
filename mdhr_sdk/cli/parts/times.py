"""Times as a person types them, in options and in `live.yaml`."""

from __future__ import annotations

import math
import re

from ...errors import ConfigError

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)")
_UNIT_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_time(what: str, typed: str | float, zero: bool = False) -> float:
    """'90', '90s', '1.5 s', '10m', '2h', '7d', '1:30' or '0:01:30.5' -> seconds; a plain number is seconds.

    Args:
        what: the option or setting that it is the value of.
        zero: whether it may be 0.

    Raises:
        ConfigError: another text, 0, or more than a float holds.
    """
    found = _TIME.fullmatch(str(typed).strip().lower())
    seconds = math.nan
    if found is not None and (found[2] is None or found[4] in ("", "s")):
        seconds = 3600 * float(found[1] or 0) + 60 * float(found[2] or 0) + float(found[3]) * _UNIT_S[found[4]]
    if not 0 <= seconds < math.inf or not (zero or seconds):
        above = "" if zero else " above 0"
        raise ConfigError(f"{what} expects a time{above}, as 90, 30s, 10m, 2h, 7d, 1:30 or 0:01:30.5; got '{typed}'")
    return seconds
