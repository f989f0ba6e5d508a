"""The options that say what of a source is scored."""

from __future__ import annotations

import re
from typing import Optional

from ...errors import ConfigError
from ...vision import Scope
from ...vision.scope import read_person, read_region

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)\s*s?")


def read_scope(
    start: Optional[str],
    end: Optional[str],
    every: Optional[int],
    sample_fps: Optional[float],
    region: Optional[str],
    person: Optional[str],
) -> Scope:
    """What the options mean.

    Raises:
        ConfigError: an option cannot be read, or they do not go together.
    """
    return Scope(
        start_s=0.0 if start is None else read_time(start, "--start"),
        end_s=None if end is None else read_time(end, "--end"),
        every=1 if every is None else every,
        sample_fps=sample_fps,
        region=None if region is None else read_region(region),
        person=None if person is None else read_person(person),
    )


def read_time(text: str, option: str) -> float:
    """'90', '90s', '1:30' or '0:01:30.5' -> seconds; ConfigError for another text."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{option} expects seconds or a time, as in 90, 1:30 or 0:01:30.5; got '{text}'")
    return 3600 * int(found[1] or 0) + 60 * int(found[2] or 0) + float(found[3])
