"""What functions answered, to be given again in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Heard:
    """The answers of some methods, in their order.

    Args:
        where: class and name of each method.
    """

    def __init__(self, where: Sequence[tuple[Any, str]]) -> None:
        self._where = where
        self._answers: list[Any] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep all answers given in the block."""
        self._answers.clear()

        def kept(old: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                answer = old(*given, **named)
                self._answers.append(answer)
                return answer

            return call

        with self._instead(kept):
            yield

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Give the answers again instead of calling the methods; after the last one the first one follows."""
        at = -1

        def again(*_: Any, **__: Any) -> Any:
            nonlocal at
            at = (at + 1) % len(self._answers)
            return self._answers[at]

        with self._instead(lambda _: again):
            yield

    @contextmanager
    def _instead(self, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
        """Methods made of the old ones in the block."""
        olds = [getattr(owner, name) for owner, name in self._where]
        for (owner, name), old in zip(self._where, olds, strict=True):
            setattr(owner, name, made(old))
        try:
            yield
        finally:
            for (owner, name), old in zip(self._where, olds, strict=True):
                setattr(owner, name, old)
