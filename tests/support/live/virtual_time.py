"""A world in which time passes only when everybody waits: hours of threads that wait for each other in seconds.

Threads are greenlets, which switch only where they wait. Whose turn it is, of those that may go on, is drawn by a seed,
so that a run can be repeated exactly. `Threads` and `Clock` stand for the modules `threading` and `time`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import greenlet

EPOCH_S = 1_800_000_000.0


class Task:
    """A thread of the world."""

    def __init__(self, world: World, run: Callable[[], object], name: str) -> None:
        self.name = name
        self.ready: Callable[[], bool] = lambda: True
        self.until_s = math.inf
        self.glet = greenlet.greenlet(run, world.hub)

    @property
    def over(self) -> bool:
        return bool(self.glet.dead)


class World:
    """Tasks and their time.

    Attributes:
        now_s: the time.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_s = 1000.0
        self.hub = greenlet.getcurrent()
        self.tasks: list[Task] = []

    def spawn(self, run: Callable[[], object], name: str) -> Task:
        task = Task(self, run, name)
        self.tasks.append(task)
        return task

    def kill(self, task: Task) -> None:
        """End a task where it waits, as a signal ends a process."""
        if task in self.tasks:
            self.tasks.remove(task)
            parent = task.glet.parent
            task.glet.parent = greenlet.getcurrent()
            task.glet.throw()
            assert task.over, parent

    def wait(self, ready: Callable[[], bool], until_s: float = math.inf) -> bool:
        """Let the others go on until something holds, or until a time; whether it holds."""
        task = self.current
        assert task is not None, "only tasks wait"
        task.ready, task.until_s = ready, until_s
        self.hub.switch()
        return ready()

    def sleep(self, seconds: float) -> None:
        self.wait(lambda: False, self.now_s + seconds)

    def until_s(self, timeout: float | None) -> float:
        """The time at which one who waits so long has waited enough."""
        return math.inf if timeout is None else self.now_s + timeout

    @property
    def current(self) -> Task | None:
        here = greenlet.getcurrent()
        return next((task for task in self.tasks if task.glet is here), None)

    def run(self, main: Callable[[], object]) -> None:
        """Run a task to its end, and the others as long as it takes."""
        task = self.spawn(main, "main")
        while not task.over:
            self.tasks = [one for one in self.tasks if not one.over]
            able = [one for one in self.tasks if self.now_s >= one.until_s or one.ready()]
            if able:
                self.random.choice(able).glet.switch()
                continue
            next_s = min(one.until_s for one in self.tasks)
            assert next_s < math.inf, f"all wait for ever: {[one.name for one in self.tasks]}"
            self.now_s = next_s


class Clock:
    """Stands for the module `time`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def perf_counter(self) -> float:
        return self._world.now_s

    monotonic = perf_counter

    def time(self) -> float:
        return EPOCH_S + self._world.now_s

    def sleep(self, seconds: float) -> None:
        self._world.sleep(seconds)


class _Thread:
    ident: int | None = None

    def __init__(
        self, threads: Threads, target: Callable[..., object], name: str, daemon: bool, args: tuple[Any, ...] = ()
    ) -> None:
        self.name, self._target, self._args = name, target, args
        self._threads, self._task = threads, None

    def start(self) -> None:
        self._task: Task | None = self._threads.world.spawn(lambda: self._target(*self._args), self.name)
        self.ident = id(self)
        self._threads.running[self._task] = self

    def join(self, timeout: float | None = None) -> None:
        task = self._task
        assert task is not None
        self._threads.world.wait(lambda: task.over, self._threads.world.until_s(timeout))
        if task.over:
            self._threads.running.pop(task, None)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over


class _Lock:
    """Needless: nobody is interrupted where they do not wait."""

    def __enter__(self) -> _Lock:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Condition(_Lock):
    def __init__(self, world: World, lock: object = None) -> None:
        self._world, self._told = world, 0

    def wait(self, timeout: float | None = None) -> bool:
        before = self._told
        return self._world.wait(lambda: self._told != before, self._world.until_s(timeout))

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if not predicate():
            self._world.wait(lambda: bool(predicate()), self._world.until_s(timeout))
        return predicate()

    def notify(self, n: int = 1) -> None:
        self._told += 1

    notify_all = notify


class _Event:
    def __init__(self, world: World) -> None:
        self._world, self._set = world, False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        return self._set or self._world.wait(lambda: self._set, self._world.until_s(timeout))


class Threads:
    """Stands for the module `threading`."""

    Lock = RLock = _Lock

    def __init__(self, world: World) -> None:
        self.world = world
        self.running: dict[Task, Any] = {}
        self.Thread = partial(_Thread, self)
        self.Condition, self.Event = partial(_Condition, world), partial(_Event, world)

    def current_thread(self) -> Any:
        """The thread that goes on now; of the world's own main task, something that is no other thread."""
        task = self.world.current
        return self.running.get(task, self) if task is not None else self
