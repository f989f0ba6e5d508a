"""Results that are made beside the loop: which one it gets, what it is told of the others, and how the thread ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from fakes import INFO
from mdhr_sdk.errors import BackendError
from mdhr_sdk.pipeline.ahead import Ahead, Made
from mdhr_sdk.pipeline.readers import Readers
from mdhr_sdk.results import AUEvent, Ending, FrameResult
from processes import until


class Sources:
    """Stands for the readers of two sources; the one called 'file' is not live."""

    def __init__(self) -> None:
        self.left = False
        self.dropped: Counter[str] = Counter()
        self.all = [
            SimpleNamespace(source=SimpleNamespace(name=name), newest=name != "file", unread=self._counted(name))
            for name in ("door", "file")
        ]

    def _counted(self, name: str) -> object:
        return lambda count: self.dropped.update({name: count})

    def leave(self) -> None:
        self.left = True

    def reads_in(self, thread: threading.Thread) -> bool:
        return False


def made(index: int, turn: int | None, source: str = "door", stale: bool = False, dropped: int = 0) -> Made:
    event = AUEvent(source, 0, "AU12", index, index, index, 0.0, 0.0, 0.0, 1.0, False, False)
    events = () if stale else (event,)
    note = "damaged" if index == 1 else ""
    return Made(
        FrameResult(source, index, 0.0, (), INFO, dropped=dropped, stale=stale, events=events, note=note), turn, 0.0
    )


def begun(results: Iterator[Made], sources: Sources) -> Ahead:
    return Ahead(results, cast(Readers, sources))


def test_newer_results_replace_older_ones_and_tell_what_these_had_to_tell() -> None:
    sources, all_made = Sources(), threading.Event()

    def results() -> Iterator[Made]:
        yield from (made(0, 1), made(1, 2, dropped=4), made(2, 3), made(3, 3), made(4, 4, stale=True, dropped=2))
        yield from (made(5, None), made(6, None))
        all_made.set()

    ahead = begun(results(), sources)
    assert all_made.wait(30)
    given = list(ahead)
    assert [one.index for one in given] == [2, 3, 5, 6], "a turn belongs together, and the last ones all come"
    assert [one.dropped for one in given] == [6, 2, 0, 0] and sources.dropped == {"door": 2}
    assert [[event.onset_frame for event in one.events] for one in given] == [[0, 1, 2], [3], [5], [6]]
    assert [one.note for one in given] == ["damaged", "", "", ""] and given[0].delay_ms > 0


def test_nothing_is_replaced_of_a_source_that_is_not_live() -> None:
    sources = Sources()
    ahead = begun((made(index, index, "file") for index in range(5)), sources)
    assert [one.index for one in ahead] == list(range(5)) and not sources.dropped


def test_an_error_comes_after_the_results_from_before() -> None:
    def results() -> Iterator[Made]:
        yield made(0, 1)
        raise BackendError("out of memory")

    ahead = begun(results(), Sources())
    assert next(ahead).index == 0
    with pytest.raises(BackendError, match="out of memory"):
        next(ahead)
    assert list(ahead) == []


def test_closing_ends_the_thread_and_leaves_what_waits() -> None:
    sources, ending = Sources(), Ending()
    results = (made(index, index, "file") for index in range(5))
    ahead = begun((one._replace(result=replace(one.result, ending=ending)) for one in results), sources)
    until(lambda: len(ahead.untaken) == 1)
    ahead.close()
    ahead.close()
    assert sources.left and not ahead._thread.is_alive()
    assert [one.index for one in ahead.untaken] == [0, 1], "the one that was at hand waits too"
    ending.events = made(7, 7, "file").result.events  # that was open at the end
    ahead.pass_events_on()
    assert [event.onset_frame for event in ending.events] == [0, 1, 7], "no event is lost, and they are in order"
