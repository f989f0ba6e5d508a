"""Configurations that check themselves: pydantic's dataclasses, strict and frozen, with errors of one line.

Strict: an unknown key is refused, '5' is no number, and True is no 1.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.dataclasses import dataclass
from typing_extensions import dataclass_transform

from ..errors import ConfigError

Kind = TypeVar("Kind")
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
VARIANTS = ("str", "int", "float")  # how pydantic names the members of a union, beside 'tuple[int, ...]'
MOST_SHOWN = 80  # characters of a bad value
_OF_TEXTS = {  # what pydantic says of a text in another one's place, in plain words
    "bool_parsing": "Input should be yes or no",
    "int_parsing": "Input should be a whole number",
    "int_from_float": "Input should be a whole number",
    "float_parsing": "Input should be a number",
}


def _as_given(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """A whole number stays one: digests are made of the text that is written."""
    check(value)
    return value


Positive = Annotated[int, Field(ge=1)]
Number = Annotated[float, Field(allow_inf_nan=False), WrapValidator(_as_given)]
Share = Annotated[float, Field(ge=0, le=1), WrapValidator(_as_given)]


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def strict(kind: type[Kind]) -> type[Kind]:
    """A frozen dataclass whose values are checked by their annotations; bad ones raise ConfigError."""
    made: Any = dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))(kind)
    init = made.__init__

    @functools.wraps(init)
    def checked(self: Any, *arguments: Any, **values: Any) -> None:
        try:
            init(self, *arguments, **values)
        except ValidationError as error:
            raise ConfigError(_in_a_line(error, made)) from None

    made.__init__ = checked
    result: type[Kind] = made
    return result


def from_json(kind: type[Kind], text: str) -> Kind:
    """A dataclass, and those in it, from JSON; lists become tuples.

    Raises:
        ConfigError: no JSON, an unknown or missing key, or a bad value; the message names the field.
    """
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise ConfigError(_in_a_line(error, kind)) from None


def from_mapping(kind: type[Kind], content: Any) -> Kind:
    """As `from_json`, from what YAML gave: a date is the text that was typed."""
    try:
        text = json.dumps(content, default=str)
    except (TypeError, ValueError, RecursionError) as error:  # keys that are no words, or a mapping inside itself
        raise ConfigError(f"expected keys with values: {error}") from None
    return from_json(kind, text)


def from_texts(kind: type[Kind], content: dict[str, Any]) -> Kind:
    """As `from_json`, from texts that somebody typed: '5' is a number, 'yes' and 'no' are booleans, where one belongs.

    Raises:
        ConfigError: as `from_json`.
    """
    try:
        return TypeAdapter(kind).validate_python(content, strict=False)
    except ValidationError as error:
        raise ConfigError(_in_a_line(error, kind)) from None


def nearest(name: str, known: Sequence[str]) -> str:
    """'did you mean ...?' for a near miss, otherwise all known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def _in_a_line(error: ValidationError, kind: Any) -> str:
    """One thing that is wrong: where, what is allowed, what came."""
    wrong = error.errors(include_url=False, include_context=False)
    first = next((one for one in wrong if one["type"] in UNKNOWN), wrong[0])  # a misspelt key is a missing one, too
    message, place = first["msg"], [part for part in first["loc"] if not _is_variant(part)]
    if place and isinstance(place[0], int) and place[0] < len(_keys(kind, ())):  # given by its position
        place[0] = _keys(kind, ())[place[0]]
    where = ".".join(map(str, place))
    if first["type"] in UNKNOWN:
        key = str(first["loc"][-1])[:MOST_SHOWN]  # whatever it looks like, also like a variant
        above = [part for part in first["loc"][:-1] if not _is_variant(part)]
        return f"unknown setting '{'.'.join(map(str, (*above, key)))}'; {nearest(key, _keys(kind, above))}"
    if first["type"] == "missing":
        return f"'{where}' is missing"
    if first["type"] == "json_invalid":
        return f"not JSON: {message.removeprefix('Invalid JSON: ')}"
    came = repr(first["input"])
    came = came if len(came) <= MOST_SHOWN else f"{came[:MOST_SHOWN]}..."
    message = _OF_TEXTS.get(first["type"], message)
    one_of = "one of " * (first["type"] == "literal_error")
    wanted = f" must be {one_of}{message.removeprefix('Input should be ')}"
    return f"{where}{wanted if message.startswith('Input should be ') else f': {message}'}; got {came}"


def _is_variant(part: int | str) -> bool:
    return isinstance(part, str) and (part in VARIANTS or "[" in part)


def _keys(kind: Any, place: Sequence[int | str]) -> list[str]:
    """What may stand in the dataclass at `place`."""
    for part in place:
        if isinstance(part, str):
            kind = _dataclass_in(get_type_hints(kind)[part]) or kind
    return [f.name for f in dataclasses.fields(kind)]


def _dataclass_in(hint: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return hint
    return next(filter(None, map(_dataclass_in, get_args(hint))), None)
