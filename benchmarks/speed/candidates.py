"""What can be measured of a model folder on this machine, and why the rest cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mdhr_sdk.errors import BackendError
from mdhr_sdk.modelfolder.artefacts import PRECISIONS
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import BACKENDS, SessionOptions, select

GRAPHS = ("clip", "encoder", "head", "clip_u8", "encoder_u8")


@dataclass(frozen=True)
class Settings:
    """What is measured, and how.

    Attributes:
        graph: one of `GRAPHS`. A graph of floats has rows for its uint8 variant too, where that was exported.
        device: 'cpu', 'cuda' or 'cuda:N', the same for all.
        batch: clips, frames (encoder) or windows (head) a run.
        threads: CPU threads of each candidate.
        rounds: turns of each candidate.
        turn_s: least length of a turn, in seconds; a turn has at least one run.
        most_s: seconds after which no further round begins, with few exceptions (`measuring.LEAST_ROUNDS`).
    """

    graph: str = "clip"
    device: str = "cpu"
    batch: int = 1
    threads: int = 1
    rounds: int = 10
    turn_s: float = 0.5
    most_s: float = 150.0

    @property
    def base(self) -> str:
        """The graph of floats, which is the baseline's."""
        return self.graph.removesuffix("_u8")

    def graph_of(self, candidate: Candidate) -> str:
        """What a candidate runs."""
        return f"{self.base}_u8" if candidate.bytes_in else self.base

    def __post_init__(self) -> None:
        if self.graph not in GRAPHS:
            raise BackendError(f"unknown graph '{self.graph}'; expected one of {', '.join(GRAPHS)}")
        if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", self.device):
            raise BackendError(f"unknown device '{self.device}'; expected cpu, cuda or cuda:N")
        for name in ("batch", "threads", "rounds"):
            if getattr(self, name) < 1:
                raise BackendError(f"--{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.turn_s <= 3600:
            raise BackendError(f"--seconds must be between 0 and 3600; got {self.turn_s}")
        if not self.most_s > 0:
            raise BackendError(f"--most-seconds must be more than 0; got {self.most_s}")


@dataclass(frozen=True)
class Candidate:
    """A backend in a precision. 'released', the baseline, and 'matmul-...' are none of `BACKENDS`.

    Attributes:
        bytes_in: it takes uint8 crops, a quarter of the bytes, and normalises them itself.
    """

    backend: str
    precision: str = "fp32"
    bytes_in: bool = False

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}{' uint8' if self.bytes_in else ''}"


BASELINE = Candidate("released")


def obstacle(folder: ModelFolder, candidate: Candidate, settings: Settings, named: bool = False) -> str | None:
    """Why a candidate cannot run here, with the remedy; None if it can. A head also needs its encoder.

    Args:
        named: it was asked for, and so taken though it was never compared with the weights.
    """
    backend = BACKENDS["torch" if candidate == BASELINE else candidate.backend]
    if settings.device.partition(":")[0] not in backend.devices:
        return f"it runs on {' or '.join(backend.devices)}, not on '{settings.device}'"
    if candidate.precision not in backend.precisions:
        return f"it runs {', '.join(backend.precisions)}, not {candidate.precision}"
    options = SessionOptions(settings.device, settings.threads, candidate.precision, unproven=named)
    graphs = ["encoder", "head"] if settings.base == "head" else [settings.graph_of(candidate)]
    reasons = [select.obstacle(backend, folder, options, graph) for graph in graphs]
    return next(filter(None, reasons), None)


def plan(
    folder: ModelFolder, settings: Settings, backends: Sequence[str] = (), precisions: Sequence[str] = ()
) -> dict[Candidate, str | None]:
    """Candidates in the order of the table, each with the reason why it cannot run, None for one that can.

    Args:
        backends, precisions: what was asked for by name; all there are when empty.

    Raises:
        BackendError: an unknown name, or something asked for by name that cannot run.
    """
    for kind, names, known in (("backend", backends, BACKENDS), ("precision", precisions, PRECISIONS)):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise BackendError(f"unknown {kind} '{unknown[0]}'; expected some of {', '.join(known)}")
    found: dict[Candidate, str | None] = {BASELINE: obstacle(folder, BASELINE, settings)}
    for backend in dict.fromkeys(backends or BACKENDS):
        wanted = dict.fromkeys(precisions or PRECISIONS)
        bytes_in = settings.graph != settings.base
        own = {
            c: obstacle(folder, c, settings, bool(backends))
            for c in (Candidate(backend, precision, bytes_in) for precision in wanted)
        }
        _check_asked(own, bool(backends), bool(precisions))
        if not precisions:
            runs: dict[Candidate, str | None] = {c: reason for c, reason in own.items() if reason is None}
            first = Candidate(backend, BACKENDS[backend].precisions[0], bytes_in)
            own = runs or {first: own[first]}
        found.update(own)
        if settings.base != "head" and not bytes_in and BACKENDS[backend].suffix:
            also = (Candidate(backend, precision, bytes_in=True) for precision in wanted)
            found.update({c: None for c in also if obstacle(folder, c, settings, bool(backends)) is None})
    if precisions and all(reason is not None for candidate, reason in found.items() if candidate != BASELINE):
        reasons = "; ".join(f"{c}: {reason}" for c, reason in found.items() if c != BASELINE)
        raise BackendError(f"no backend can run {', '.join(precisions)} here: {reasons}")
    return found


def runnable(
    folder: ModelFolder, settings: Settings, backends: Sequence[str] = (), precisions: Sequence[str] = ()
) -> list[Candidate]:
    """Those of `plan` that run on floats here, without the baseline.

    Raises:
        BackendError: none does, or as `plan`.
    """
    found = {c: reason for c, reason in plan(folder, settings, backends, precisions).items() if c != BASELINE}
    chosen = [c for c, reason in found.items() if reason is None and not c.bytes_in]
    if not chosen:
        reasons = "; ".join(f"{c}: {reason}" for c, reason in found.items())
        raise BackendError(f"no backend can run {settings.graph} of '{folder.path}' here: {reasons}")
    return chosen


def _check_asked(own: dict[Candidate, str | None], backend_asked: bool, precision_asked: bool) -> None:
    """A backend that was named must run: in every precision that was named too, or else in one at least."""
    refused = {candidate: reason for candidate, reason in own.items() if reason is not None}
    if backend_asked and refused and (precision_asked or len(refused) == len(own)):
        candidate, reason = next(iter(refused.items()))
        raise BackendError(f"{candidate} cannot be measured here: {reason}")
