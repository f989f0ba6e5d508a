"""Which layers of an int8 graph stay in fp32: those that cost most, found by rounding each alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ExportError
from ...modelfolder.folder import ModelFolder
from ..parity.report import LIMITS, ParityReport, failures

if TYPE_CHECKING:
    from .quantise import Quantiser

ALWAYS = 2  # the first layers, whose rounding all that follows inherits, and which cost little in fp32
SHARE = 0.5  # of the gate's limits: other clips judge in the end
MORE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # of the costliest layers beside the first ones
SEARCH_S = 600.0  # of processor time
SHOWN = 6  # of the layers that are rounded, how many a table shows


@dataclass(frozen=True)
class Layers:
    """What was found.

    Attributes:
        weight_bits: 8, or 7 for CPUs on which products of bytes overflow.
        exact: layers that stay in fp32.
        rounded: layers that are int8.
        alone: layer -> the largest and the mean difference of a score with that layer alone in int8, the costliest
            first; empty where nothing had to be searched.
        seconds: of processor time that measuring them took.
    """

    weight_bits: int
    exact: tuple[str, ...]
    rounded: tuple[str, ...]
    alone: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """For people: a table."""
        total = len(self.exact) + len(self.rounded)
        yield f"{len(self.rounded)} of {total} layers in int8 (weights of {self.weight_bits} bits), in fp32 stay:"
        first = [name for name in self.exact if name not in self.alone]
        yield from (f"  {name}" for name in first)
        if not self.alone:
            return
        yield f"  how far a score moves, at most and on average, with one layer in int8 ({self.seconds:.0f} CPU s):"
        stay = [name for name in self.alone if name in self.exact]
        others = [name for name in self.alone if name not in self.exact]
        for name in (*stay, *others[:SHOWN]):
            most, mean = self.alone[name]
            yield f"  {most:.4f}  {mean:.5f}  {'fp32' if name in self.exact else 'int8'}  {name}"
        if len(others) > SHOWN:
            yield f"  and {len(others) - SHOWN} more in int8, each of less on average; manifest.json has them"
        if left := total - len(first) - len(self.alone):
            yield f"  {left} more were not measured in {SEARCH_S:.0f} CPU s, and are int8"


def kept_lines(folder: ModelFolder) -> Iterator[str]:
    """What the manifest keeps of each int8 graph, for people: how it compared with the weights, and its layers."""
    for name, entry in sorted(folder.manifest.items()):
        if isinstance(told := entry.get("int8"), dict):
            yield from _kept(name, told, entry.get("parity"))


def _kept(name: str, told: dict[str, Any], parity: Any) -> list[str]:
    try:
        report = ParityReport(**parity)
        return [f"{name}, when it was exported: {report}", *Layers(**told).lines()]
    except (TypeError, ValueError, LookupError, AttributeError):  # anybody's text
        return [f"{name}: what its manifest says of int8 cannot be read; export it again"]


def choose_layers(quantiser: Quantiser, trial: Callable[[Collection[str]], ParityReport]) -> Layers:
    """Round all layers but the first; if scores then differ by more than half of what is allowed, fewer.

    Layers are measured one by one, in at most ten minutes of processor time. The costliest stay in fp32, as few as are
    enough, and half of all at most.

    Args:
        trial: rounds these layers and compares, on the clips that ranges were measured on. It is last called with those
            that are chosen.

    Raises:
        ExportError: there is nothing to round.
    """
    names, called = list(quantiser.layers), quantiser.layers
    rounded, cost, seconds = names[ALWAYS:], dict[str, ParityReport](), 0.0
    if not rounded:
        raise ExportError(f"the graph has no layer to round beside its first {ALWAYS}; take fp16")
    if not _is_near(trial(rounded)):
        started = time.process_time()
        for name in rounded:
            if time.process_time() - started < SEARCH_S:
                cost[name] = trial([name])
        seconds = time.process_time() - started
        order = sorted(cost, key=lambda name: -cost[name].mean_score)
        most = min(len(names) // 2 - ALWAYS, len(order))
        for more in [count for count in MORE if count <= most] or [0]:
            rounded = [name for name in names[ALWAYS:] if name not in order[:more]]
            if _is_near(trial(rounded)):
                break
    exact = tuple(called[name] for name in names if name not in rounded)
    alone = {called[name]: (cost[name].max_score, cost[name].mean_score) for name in order} if cost else {}
    return Layers(quantiser.weight_bits, exact, tuple(called[name] for name in rounded), alone, round(seconds, 1))


def _is_near(report: ParityReport) -> bool:
    return not any(failures(report, LIMITS[report.precision], SHARE))
