"""YAML and JSON files with keys and values, with errors that say where."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import ConfigError, require

FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # 1e-4, which YAML 1.1 takes for a text


def read_mapping(path: Path, extra: str = "train") -> dict[str, Any]:
    """A YAML file, or by its name a JSON one, that holds keys with values; {} for an empty one.

    Args:
        extra: the pip extra that brings PyYAML.
    """
    if path.suffix.lower() == ".json":
        kind, parse = "JSON", json.loads
    else:
        kind, parse = "YAML", partial(_parsed, extra=extra)
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"'{path}' is not {kind}: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"'{path}' must hold keys with values, as 'name: value'; got {type(content).__name__}")
    return content


def parsed_value(text: str) -> Any:
    """What a value on the command line means in YAML."""
    try:
        return with_floats(_parsed(text))
    except ValueError:
        raise ConfigError(f"'{text}' is not a YAML value; quote it") from None


def with_floats(value: Any) -> Any:
    """Texts such as '1e-4' as the numbers that they are, wherever they stand in `value`."""
    if isinstance(value, dict):
        return {key: with_floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_floats(inner) for inner in value]
    return float(value) if isinstance(value, str) and FLOAT.fullmatch(value) else value


def _parsed(text: str, extra: str = "train") -> Any:
    yaml = require("yaml", extra)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
