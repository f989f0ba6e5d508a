"""The options of a command, written as a dataclass: one field an option."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

Command = Callable[..., None]


def expanded(command: Command) -> Command:
    """What Typer makes a command of, for a function that takes dataclasses: each of their fields is an option.

    Fields may be dataclasses too. The options stand in the order of the fields; what is no dataclass is left as it is.
    """
    taken = [(name, _hints(command)[name], one.default) for name, one in inspect.signature(command).parameters.items()]
    options = [option for one in taken for option in _options(*one)]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        command(**{name: _value(name, kind, given) for name, kind, _ in taken})

    vars(called).pop("__wrapped__")  # whose parameters Typer would see
    vars(called)["__signature__"] = inspect.Signature(options)
    called.__annotations__ = {one.name: one.annotation for one in options}
    return called


def _hints(owner: Any) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)


def _options(name: str, kind: Any, default: Any) -> Iterator[inspect.Parameter]:
    if not dataclasses.is_dataclass(kind):
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        return
    for one in dataclasses.fields(kind):
        value = inspect.Parameter.empty if one.default is dataclasses.MISSING else one.default
        yield from _options(one.name, _hints(kind)[one.name], value)


def _value(name: str, kind: Any, given: Mapping[str, Any]) -> Any:
    """The value of a parameter or field, from those of all options."""
    if not dataclasses.is_dataclass(kind):
        return given[name]
    made: Any = kind
    return made(**{one.name: _value(one.name, _hints(kind)[one.name], given) for one in dataclasses.fields(kind)})
