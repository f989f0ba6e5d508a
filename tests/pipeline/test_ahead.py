"""Items made ahead, in a thread: the same items and errors as without it, and nothing runs after the end."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdhr_sdk.pipeline.ahead import Ahead


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 20), depth=st.integers(1, 4), taken=st.integers(0, 25), fails=st.booleans())
def test_the_same_items_and_then_the_same_error(count: int, depth: int, taken: int, fails: bool):
    def numbers() -> Iterator[int]:
        yield from range(count)
        if fails:
            raise ValueError("broken")

    with Ahead(numbers(), lambda _: depth) as items:
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

    with Ahead(numbers(), lambda _: 3) as items:
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

    with Ahead(slow(), lambda _: 1):
        assert begun.wait(5)
    assert ended.is_set()


def test_who_waits_for_an_item_is_told_when_another_thread_ends_it():
    go_on = threading.Event()

    def stuck() -> Iterator[int]:
        go_on.wait(10)
        yield 0

    items, seen = Ahead(stuck(), lambda _: 1), []
    waits = threading.Thread(target=lambda: seen.extend(items))
    waits.start()
    threading.Timer(0.1, go_on.set).start()
    items.close()
    waits.join(5)
    assert not waits.is_alive() and seen == []


def test_garbage_collected_by_its_own_thread_it_ends_without_an_error(monkeypatch: pytest.MonkeyPatch):
    raised: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", raised.append)
    begin = threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        assert begin.wait(5)
        items.close()
        yield 1

    items = Ahead(numbers(), lambda _: 2)
    begin.set()
    items._thread.join(5)
    assert not items._thread.is_alive() and raised == []
    assert list(items) == []


LEFT_ALIVE = """
import itertools, time
from mdhr_sdk.pipeline.ahead import Ahead

def numbers():
    for number in itertools.count():
        time.sleep(0.01)
        yield number

items = Ahead(numbers(), lambda _: 4)
next(items)
raise SystemExit(3)
"""


def test_a_process_that_ends_ends_the_thread_first():
    done = subprocess.run([sys.executable, "-c", LEFT_ALIVE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, "")
