"""YAML and JSON files with keys and values, with errors that say where."""

from __future__ import annotations

import functools
import re
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import ConfigError, require
from ...modelfolder.plain_json import parsed

FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # 1e-4, which YAML 1.1 takes for a text
MOST_BYTES = 1 << 20


def read_mapping(path: Path, extra: str = "train") -> dict[str, Any]:
    """A YAML file, or by its name a JSON one, that holds keys with values; {} for an empty one.

    Args:
        extra: the pip extra that brings PyYAML.

    Raises:
        ConfigError: it is missing, no file, too large or damaged; or a key stands there twice, or YAML refers to what
            stands elsewhere.
    """
    kind, parse = ("JSON", parsed) if path.suffix.lower() == ".json" else ("YAML", partial(_parsed, extra=extra))
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise ConfigError(f"'{path}' is no file; give a text file with settings")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ConfigError(f"'{path}' has {size:,} bytes, and settings have at most {MOST_BYTES:,}")
        content = parse(path.read_bytes())
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
        return with_floats(_parsed(text.encode()))
    except ValueError:
        raise ConfigError(f"'{text}' is not a YAML value; quote it") from None


def with_floats(value: Any) -> Any:
    """Texts such as '1e-4' as the numbers that they are, wherever they stand in `value`."""
    if isinstance(value, dict):
        return {key: with_floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_floats(inner) for inner in value]
    return float(value) if isinstance(value, str) and FLOAT.fullmatch(value) else value


def _parsed(content: bytes, extra: str = "train") -> Any:
    yaml, loader = _loader(extra)
    try:
        return yaml.load(content.decode("utf-8"), loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


@functools.cache
def _loader(extra: str) -> tuple[Any, Any]:
    """PyYAML, and its loader of plain values in which everything stands where it is used, and once.

    A few lines that refer to each other stand for billions of values.
    """
    yaml = require("yaml", extra)

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                name, mark = self.peek_event().anchor, self.peek_event().start_mark
                raise yaml.composer.ComposerError(
                    None, None, f"'*{name}' refers to what stands elsewhere; write it out", mark
                )
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                message = f"the key '{twice[1][:80]}' stands there twice"
                raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
            return super().construct_mapping(node, deep)

    return yaml, Loader
