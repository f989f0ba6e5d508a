"""Several outputs of one run; if one fails, the others go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ..errors import MDHRError, OutputError
from ..results import FrameResult
from .sinks import Sink

if TYPE_CHECKING:
    from typing_extensions import Self

Made = TypeVar("Made", bound=Sink)


class SinkGroup:
    """Several sinks as one. If one fails it is closed, keeps what it has, and the others go on.

    Its error is raised at the end of the block, when the others are complete, or at once when no sink is left.

    Attributes:
        failures: what went wrong, in order; only the first one is raised.

    Args:
        sinks: not entered yet.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._open = [*sinks]
        self.failures: list[MDHRError] = []

    def add(self, make: Callable[[], Made]) -> Made | None:
        """Make one more sink and enter it; None if that fails."""
        made: list[Made] = []
        self._tried(None, lambda: made.append(make()))
        if made:
            self._open.append(made[0])
            self._tried(made[0], made[0].__enter__)
        return made[0] if made else None

    def write(self, result: FrameResult) -> None:
        """Give a result to every sink that is left.

        Raises:
            MDHRError: the last of them failed; the error is the first one of all.
        """
        for sink in [*self._open]:
            if error := self._tried(sink, lambda sink=sink: sink.write(result)):  # type: ignore[misc]
                self._leave(sink, type(error), error, error.__traceback__)
        if self.failures and not self._open:
            raise self.failures[0]

    def __enter__(self) -> Self:
        for sink in [*self._open]:
            self._tried(sink, sink.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:  # whatever happens to one, the others are closed too
            for sink in reversed(self._open):
                stack.callback(self._leave, sink, kind, error, trace)
        if kind is None and self.failures:
            raise self.failures[0]

    def _leave(
        self, sink: Sink, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tried(sink, lambda: sink.__exit__(kind, error, trace))
        if sink in self._open:
            self._open.remove(sink)

    def _tried(self, sink: Sink | None, call: Callable[[], object]) -> MDHRError | None:
        """Run `call`; if it fails, note the error, return it, and give the sink nothing more."""
        try:
            call()
        except Exception as error:
            known = error
            if not isinstance(known, MDHRError):
                known = OutputError(f"{type(sink).__name__} failed: {error!r}")
                known.__cause__ = error
            self.failures.append(known)
            if sink in self._open:
                self._open.remove(sink)
            return known
        return None
