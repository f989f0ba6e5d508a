"""YAML and JSON files with keys and values, with errors that say where."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import ConfigError, require
from ...plain_json import parsed

FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # 1e-4, which YAML 1.1 takes for a text
MOST_BYTES = 1 << 20
Place = tuple[str, ...]  # keys, from the outermost one on
_NULL = "tag:yaml.org,2002:null"
_NO_KEYS = "'{}' must hold keys with values, as 'name: value'; got {}"


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file, or by its name a JSON one, that holds keys with values; {} for an empty one.

    Raises:
        ConfigError: it is missing, no file, too large or damaged; or a key stands there twice, or YAML refers to what
            stands elsewhere.
    """
    kind, parse = ("JSON", parsed) if path.suffix.lower() == ".json" else ("YAML", partial(_parsed, extra="train"))
    content = _content(path, parse, kind)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(_NO_KEYS.format(path, type(content).__name__))
    return content


def read_texts(path: Path, extra: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """As `read_mapping`, but each value is the text that stands there, or None where nothing does.

    YAML guesses what a text means: 'on' is true, 012 is ten, and 22:30 is 1350. Who knows what is expected in a place
    can read the text itself, as `modelfolder.strict.from_texts` does.

    Args:
        extra: the pip extra that brings PyYAML.

    Returns:
        The keys with their values, and the line of every key by the keys that lead to it, as ('sources', 'door').
    """
    node = _content(path, partial(_composed, extra=extra), "YAML")
    lines: dict[Place, int] = {}
    content = None if node is None else _texts(node, lines, ())
    if content is None:
        return {}, {}
    if not isinstance(content, dict):
        raise ConfigError(_NO_KEYS.format(path, "a list" if isinstance(content, list) else f"'{content:.40}'"))
    return content, lines


def _content(path: Path, parse: Callable[[bytes], Any], kind: str) -> Any:
    """What a file holds, or ConfigError."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise ConfigError(f"'{path}' is no file; give a text file with settings")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ConfigError(f"'{path}' has {size:,} bytes, and settings have at most {MOST_BYTES:,}")
        return parse(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"'{path}' is not {kind}: {error}") from None


def _texts(node: Any, lines: dict[Place, int], place: Place) -> Any:
    """A node of YAML as texts, lists and dicts; notes the line of each key."""
    if isinstance(node.value, str):
        return None if node.tag == _NULL else node.value
    if node.id == "sequence":
        return [_texts(one, lines, place) for one in node.value]
    content = {}
    for key, value in node.value:
        name = key.value if isinstance(key.value, str) else "?"
        here = (*place, name)
        lines[here] = key.start_mark.line + 1
        content[name] = _texts(value, lines, here)
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
    with _plain_errors(yaml):
        return yaml.load(content.decode("utf-8"), loader)


def _composed(content: bytes, extra: str) -> Any:
    """The nodes of YAML whose values are fine, not turned into values yet; None for an empty file."""
    yaml, loader = _loader(extra)
    with _plain_errors(yaml):
        node = yaml.compose(content.decode("utf-8"), loader)
        if node is not None:
            loader("").construct_document(node)  # refuses what `read_mapping` does: keys that come twice, other kinds
        return node


@contextmanager
def _plain_errors(yaml: Any) -> Iterator[None]:
    try:
        yield
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).replace('in "<unicode string>", line', "in line").split())) from None
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
            counts = Counter(keys)
            if twice := next((key for key in counts if counts[key] > 1), None):
                message = f"the key '{twice[1][:80]}' stands there twice"
                raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
            return super().construct_mapping(node, deep)

    return yaml, Loader
