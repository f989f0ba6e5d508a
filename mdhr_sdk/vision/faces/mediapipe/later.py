"""Put off the import of a heavy module that another package imports and nobody here asks for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module; the real one is imported when something is asked of it."""

    def __getattr__(self, name: str) -> Any:
        _step_aside(self)
        return getattr(importlib.import_module(self.__name__), name)


def _step_aside(module: ModuleType) -> None:
    if sys.modules.get(module.__name__) is module:
        sys.modules.pop(module.__name__, None)  # another thread may have done so


@contextmanager
def imported_later(package: str, submodule: str) -> Iterator[None]:
    """Imports inside of the block get a stand-in for `package.submodule`, unless the package is there already.

    Afterwards an import finds the real one.
    """
    if package in sys.modules:
        yield
        return
    whole, part = _Later(package), _Later(f"{package}.{submodule}")
    setattr(whole, submodule, part)
    sys.modules |= {whole.__name__: whole, part.__name__: part}
    try:
        yield
    finally:
        _step_aside(whole)
        _step_aside(part)
