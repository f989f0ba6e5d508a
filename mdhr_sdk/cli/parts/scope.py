"""The options that say what of a source is scored."""

from __future__ import annotations

from typing import Optional

from ...vision import Scope
from ...vision.scope import read_person, read_region
from .times import read_time


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
        start_s=0.0 if start is None else read_time("--start", start, zero=True),
        end_s=None if end is None else read_time("--end", end),
        every=1 if every is None else every,
        sample_fps=sample_fps,
        region=None if region is None else read_region(region),
        person=None if person is None else read_person(person),
    )
