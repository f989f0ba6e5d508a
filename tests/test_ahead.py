"""Items made ahead, in a thread: the same items and errors as without it, and nothing runs after the end."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.ahead import Ahead
from mdhr_sdk.clock import StageClock


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 20), depth=st.integers(1, 4), taken=st.integers(0, 25), fails=st.booleans())
def test_the_same_items_and_then_the_same_error(count: int, depth: int, taken: int, fails: bool):
    def numbers() -> Iterator[int]:
        yield from range(count)
        if fails:
            raise ValueError("broken")

    with Ahead(numbers(), depth) as items:
        if fails and taken > count:
            seen = []
            with pytest.raises(ValueError, match="broken"):
                seen.extend(items)
            assert seen == list(range(count))
        else:
            assert list(itertools.islice(items, taken)) == list(range(min(count, taken)))
    assert not items._thread.is_alive()
    assert list(items) == [], "nothing comes after the end"


def test_it_is_as_many_items_ahead_as_it_may_and_in_a_thread_of_its_own():
    made: list[int] = []
    threads = set()

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            threads.add(threading.current_thread())
            yield number

    with Ahead(numbers(), 3) as items:
        assert next(items) == 0
        until_s = time.monotonic() + 5
        while len(made) < 5 and time.monotonic() < until_s:  # three that are ready and one that waits for room
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3, 4]
    items.close()
    assert len(made) == 5
    assert threading.current_thread() not in threads


def test_the_end_waits_for_the_item_that_is_being_made():
    begun, ended = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        begun.set()
        time.sleep(0.1)
        ended.set()
        yield 0

    with Ahead(slow(), 1):
        assert begun.wait(5)
    assert ended.is_set()


def test_two_threads_share_a_clock():
    clock = StageClock()

    def work() -> None:
        for _ in range(2000):
            with clock("align"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < clock.seconds["align"] <= 4 * (time.perf_counter() - begin)
