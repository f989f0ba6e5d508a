"""Workers as Ray actors, on this machine or on a cluster. One that is killed is replaced."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError, MDHRError, require
from ..options import Described
from ..outcome import Outcome
from ..worker import Job, Worker
from .cores import take_cores
from .crew import Answer, Lost, Member, Replacing

REACHED_S = 10.0  # how long a cluster may take to answer

Make = Callable[[], Worker]


@dataclass(frozen=True)
class Share:
    """What each worker takes of the cluster. One without a GPU keeps to so many cores where the system can do it."""

    cores: float = 1.0
    gpus: float = 0.0


class Ray(Replacing["_Actor"]):
    """A `Crew` of Ray actors.

    Args:
        make: makes a worker in its process; picklable.
        address: 'local' starts Ray on this machine, for this run only; 'auto' or 'HOST:PORT' joins a cluster that
            runs, where this version of mdhr_sdk is installed on every machine.
        share: of each worker.
        size: how many workers; None for as many as the cluster has room for.

    Raises:
        MissingDependencyError: Ray is not installed.
        BackendError: there is no cluster at the address, or no room for a worker.
    """

    def __init__(self, make: Make, address: str = "local", share: Share | None = None, size: int | None = None) -> None:
        super().__init__()
        self._ray, self._make, self._share = require("ray", "cluster"), make, share or Share()
        _join(self._ray, address)
        with self._closed_on_failure():
            for _ in range(self._room() if size is None else size):
                self._start()

    @property
    def free(self) -> int:
        """Those that have begun: one that ends with a job was ready, also if Ray never told so."""
        return sum(one.ready and one.job is None for one in self._all)

    def give(self, job: Job) -> None:
        one = next(one for one in self._all if one.ready and one.job is None)
        one.job, one.answer = job, one.handle.run.remote(job)

    def wait(self, timeout_s: float) -> list[Answer]:
        refs = {one.answer: one for one in self._all if one.answer is not None} | {
            one.begun: one for one in self._all if one.begun is not None
        }
        done, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=0) if refs else ([], [])
        if not done and refs:
            done, _ = self._ray.wait(list(refs), num_returns=1, timeout=timeout_s)
        return [answer for ref in done if refs[ref] in self._all for answer in self._heard(refs[ref], ref)]

    def close(self) -> None:
        for one in self._all:
            self._ray.kill(one.handle, no_restart=True)
        self._all.clear()
        self._ray.shutdown()

    def _room(self) -> int:
        have, share = self._ray.cluster_resources(), self._share
        rooms = [have.get("CPU", 0.0) // share.cores] if share.cores else []
        rooms += [have.get("GPU", 0.0) // share.gpus] if share.gpus else []
        room = int(min(rooms, default=0))
        if room < 1:
            raise BackendError(
                f"expected room for a worker of {share.cores:g} cores and {share.gpus:g} GPUs; the cluster has "
                f"{have.get('CPU', 0):g} cores and {have.get('GPU', 0):g} GPUs; give smaller workers"
            )
        return room

    def _start(self) -> None:
        kind = self._ray.remote(num_cpus=self._share.cores, num_gpus=self._share.gpus, max_restarts=0)(_Work)
        own = 0 if self._share.gpus else int(self._share.cores)
        handle = kind.remote(self._make, os.getcwd(), own)  # noqa: PTH109
        self._all.append(_Actor(handle, handle.begin.remote()))

    def _heard(self, one: _Actor, ref: Any) -> Iterator[Answer]:
        job, begins = one.job, ref == one.begun
        try:
            value = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            yield from self._ended(one, f"ended: {_reason(error)}")
            return
        except self._ray.exceptions.RayError as error:  # what nobody thought of
            value = _reason(error)
        if begins:
            one.begun = None
            self._has_begun(one)
            if isinstance(value, MDHRError):
                raise value
            if isinstance(value, str):
                raise BackendError(f"a worker cannot begin: {value}")
            self.described = value
        elif job is not None:
            one.job = one.answer = None
            yield (job, value) if isinstance(value, Outcome) else Lost(job, str(value))

    def _hopeless(self, reason: str) -> MDHRError:
        return BackendError(
            f"workers end before they are ready: one {reason}; check that mdhr_sdk is installed where they run, and "
            "that there is memory enough"
        )


class _Actor(Member):
    """An actor, and the references to what it will say."""

    def __init__(self, handle: Any, begun: Any) -> None:
        super().__init__()
        self.handle, self.begun = handle, begun
        self.answer: Any = None


class _Work:
    """What runs in an actor's process."""

    def __init__(self, make: Make, folder: str, cores: int) -> None:
        self._make, self._folder, self._cores = make, folder, cores
        self._worker: Worker | None = None

    def begin(self) -> Described | MDHRError:
        """Open the model. Relative paths mean what they mean where the list was read."""
        try:
            os.chdir(self._folder)
            if self._cores:
                take_cores(self._cores)
            self._worker = self._make()
        except OSError as error:
            return BackendError(
                f"a worker on {platform.node()} cannot enter '{self._folder}': {error.strerror}; start the batch in a "
                "folder that all machines share, and name files by absolute paths or URLs"
            )
        except MDHRError as error:
            return error.with_traceback(None)
        return self._worker.described

    def run(self, job: Job) -> Outcome:
        assert self._worker is not None
        return self._worker.run(job)


def _join(ray: Any, address: str) -> None:
    """Join a cluster, or start one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    told = "give auto, HOST:PORT, or local to start one here"
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():  # else Ray would try for minutes
        try:
            socket.create_connection((host, int(port)), REACHED_S).close()
        except (OSError, OverflowError) as error:
            raise BackendError(f"cannot join a Ray cluster at '{address}': {error}; {told}") from None
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BackendError(f"cannot join a Ray cluster at '{address}': {reason}; {told}") from None


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:200]
