"""Sessions that leave outputs where they were computed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy.typing import NDArray

from ..errors import InputError
from ..ops import DeviceArray
from .base import Arrays, Session, TensorSpec


class Part(NamedTuple):
    """Some rows of a run: what came to the host, and what stays on the device until the next part."""

    rows: slice
    arrays: dict[str, NDArray[Any]]
    kept: dict[str, DeviceArray]


@runtime_checkable
class KeepingSession(Session, Protocol):
    """A session that can leave outputs on its device."""

    def run_kept(self, inputs: Arrays, kept: Collection[str]) -> Iterator[Part]:
        """As `run`, part by part; the outputs named in `kept` are complete on the device and not copied.

        Raises:
            InputError, BackendError: as `run`.
        """
        ...


def check_kept(outputs: tuple[TensorSpec, ...], kept: Collection[str]) -> None:
    """`kept` names outputs, or InputError."""
    if unknown := sorted(set(kept) - {spec.name for spec in outputs}):
        raise InputError(f"expected outputs to keep from {[spec.name for spec in outputs]}; got {unknown}")
