"""YAML in and out, with errors that say where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ...errors import ConfigError

FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # 1e-4, which YAML 1.1 takes for a text


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ConfigError: it cannot be read, is no YAML (with the line), or holds something else.
    """
    try:
        content = _with_floats(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"'{path}' is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"'{path}' must hold a mapping, as 'data: {{lists: list}}'; got {type(content).__name__}")
    return content


def parsed_value(text: str) -> Any:
    """What a value on the command line means in YAML.

    Raises:
        ConfigError: it is no YAML.
    """
    try:
        return _with_floats(yaml.safe_load(text))
    except yaml.YAMLError:
        raise ConfigError(f"'{text}' is not a YAML value; quote it") from None


def to_yaml(content: dict[str, Any]) -> str:
    """YAML in the order of `content`; tuples become lists."""
    return yaml.safe_dump(_plain(content), sort_keys=False, default_flow_style=None)


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_floats(inner) for inner in value]
    return float(value) if isinstance(value, str) and FLOAT.fullmatch(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
