"""JSON as this package writes it: every key once, every number finite."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from .bounded import read_bounded

MOST_DEEP = 64
MOST_BYTES = 2 << 20  # a text of empty lists takes 20 times its size in memory


def parsed(content: bytes, most: int = MOST_BYTES) -> Any:
    """What a text says, which may be anybody's. All JSON that this package did not make a moment ago is read by it.

    Args:
        most: bytes that are read.

    Raises:
        ValueError: it is no such JSON, larger than `most`, or nested more than 64 deep; one line that says what is
            wrong.
    """
    if len(content) > most:
        raise ValueError(f"it has {len(content):,} bytes, and at most {most:,} are read as JSON")
    try:
        found = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check_depth(found)
    return found


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """As `parsed`, of a file.

    Raises:
        OSError: as `read_bounded`.
        ValueError: as `parsed`.
    """
    return parsed(read_bounded(path, most), most)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the key '{twice[:80]}' stands there twice")
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    if not math.isfinite(number := float(word)):
        raise ValueError(f"{word[:80]} is too large a number")
    return number


def _check_depth(found: Any) -> None:
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > MOST_DEEP:
            raise ValueError("it is nested too deep")
        level = [
            inside
            for one in level
            if isinstance(one, dict | list)
            for inside in (one.values() if isinstance(one, dict) else one)
            if isinstance(inside, dict | list)
        ]
