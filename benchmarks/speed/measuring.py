"""Candidates measured in turns: all alive in processes of their own, one running at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import device_free_mib
from benchmarks.speed.candidates import BASELINE, Candidate, Settings
from benchmarks.speed.workers import Worker, WorkerError, ask_once
from mdhr_sdk.cli.models.init import demo_crops
from mdhr_sdk.deploy.parity.footage import as_input
from mdhr_sdk.modelfolder.config import FolderConfig
from mdhr_sdk.modelfolder.folder import ModelFolder

# Threads of the one before spin on for a while (Intel's OpenMP: 0.2 s) and would slow the next one.
SETTLE_S = 0.25
LEAST_ROUNDS = 3
BASELINE_TOLERANCE = 1e-6
MATMULS = {library: Candidate(f"matmul-{library}") for library in ("numpy", "torch")}
Turns = list[list[float]]
Tell = Callable[[str], None]


@dataclass
class Measured:
    """What came back.

    Attributes:
        ready: what each answered when it was loaded and warm (see `worker.py`).
        turns_ms: milliseconds of every run, turn by turn; those who failed have none.
        rss_peak_mib: most memory that each held.
        device_mib: memory of the CUDA device that each took until it was warm; None on a CPU.
        failed: why the others have no figures.
        baseline_difference: largest score difference of the baseline to the model; None without a baseline.
    """

    ready: dict[Candidate, dict[str, Any]] = field(default_factory=dict)
    turns_ms: dict[Candidate, Turns] = field(default_factory=dict)
    rss_peak_mib: dict[Candidate, float | None] = field(default_factory=dict)
    device_mib: dict[Candidate, float | None] = field(default_factory=dict)
    failed: dict[Candidate, str] = field(default_factory=dict)
    baseline_difference: float | None = None


def measure(
    folder: ModelFolder, settings: Settings, planned: Mapping[Candidate, str | None], tell: Tell = lambda _: None
) -> Measured:
    """Load every candidate, then take turns; whoever fails becomes a reason and the others go on.

    Args:
        planned: from `candidates.plan`.
        tell: gets one line on what happens now.
    """
    started = time.monotonic()
    measured = Measured(failed={candidate: reason for candidate, reason in planned.items() if reason is not None})
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as alive:
        clip = _write_inputs(folder.config, settings, Path(scratch))
        workers: dict[Candidate, Worker] = {}
        products = [MATMULS["torch"]] if settings.device.startswith("cuda") else MATMULS.values()
        for candidate in (*planned, *products):
            if candidate in measured.failed:
                continue
            tell(f"loading {candidate}, {len(workers) + 1} of up to {len(planned) + len(products)}")
            try:
                request = _request(folder, settings, candidate, Path(scratch), clip)
                if candidate == BASELINE:
                    measured.baseline_difference = _checked_difference(request)
                free = device_free_mib(settings.device)
                worker = alive.enter_context(Worker(request))
                measured.ready[candidate] = worker.ready()
                left = device_free_mib(settings.device)  # the others wait: what is gone is this one's
                measured.device_mib[candidate] = None if free is None or left is None else free - left
                workers[candidate] = worker
            except WorkerError as error:
                measured.failed[candidate] = str(error)
        _take_turns(workers, settings, measured, tell, started)
    return measured


def _take_turns(
    workers: dict[Candidate, Worker], settings: Settings, measured: Measured, tell: Tell, started: float
) -> None:
    measured.turns_ms = {candidate: [] for candidate in workers}
    first = time.monotonic()
    for index in range(settings.rounds):
        now = time.monotonic()
        if index >= LEAST_ROUNDS and now - started > settings.most_s:
            break
        left = min((now - first) / max(index, 1) * (settings.rounds - index), started + settings.most_s - now)
        tell(f"round {index + 1} of {settings.rounds}{f', about {max(left, 0):.0f} s left' if index else ''}")
        order = list(workers)
        for candidate in order[index % len(order) :] + order[: index % len(order)]:  # nobody always follows the same
            time.sleep(SETTLE_S)
            try:
                answer = workers[candidate].turn(settings.turn_s)
            except WorkerError as error:
                measured.failed[candidate] = str(error)
                del workers[candidate], measured.turns_ms[candidate]
                continue
            measured.turns_ms[candidate].append(answer["latencies_ms"])
            measured.rss_peak_mib[candidate] = answer["rss_peak_mib"]


def _write_inputs(config: FolderConfig, settings: Settings, scratch: Path) -> Path:
    """Aligned faces of the bundled clip, as each graph takes them; each clip of a batch starts a frame later."""
    demo = demo_crops(config.model.input_size_px)
    starts, steps = np.arange(settings.batch)[:, None], np.arange(config.clip_length)
    crops = demo[(starts + steps) % len(demo)]
    for suffix, clip in (("", as_input(crops, config)), ("_u8", crops)):
        np.savez(scratch / f"clip{suffix}.npz", clip=clip)
        np.savez(scratch / f"encoder{suffix}.npz", frames=np.ascontiguousarray(clip[:, 0]))
    return scratch / "clip.npz"


def _request(
    folder: ModelFolder, settings: Settings, candidate: Candidate, scratch: Path, clip: Path
) -> dict[str, Any]:
    common = {
        "folder": str(folder.path),
        "graph": settings.graph_of(candidate),
        "backend": candidate.backend,
        "precision": candidate.precision,
        "device": settings.device,
        "threads": settings.threads,
    }
    if candidate in MATMULS.values():
        return {**common, "job": "matmul"}
    inputs = scratch / f"{settings.graph_of(candidate)}.npz"
    if settings.base == "head":
        inputs = scratch / f"{candidate}.npz"
        ask_once({**common, "job": "features", "inputs": str(clip), "out": str(inputs)})
    return {**common, "job": "session", "inputs": str(inputs)}


def _checked_difference(request: dict[str, Any]) -> float:
    """Refuse a baseline that is not the model, in a process of its own: the check must not count as memory."""
    difference = float(ask_once({**request, "job": "check"})["difference"])
    if not difference <= BASELINE_TOLERANCE:
        raise WorkerError(f"it differs from the model by {difference:.1e}, more than {BASELINE_TOLERANCE:g}")
    return difference
