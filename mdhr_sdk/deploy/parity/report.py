"""What an export may cost, and what it did."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError, number_of
from ...modelfolder.folder import WEIGHTS

CLEAR = 0.01  # a score closer than this to its threshold decides nothing
Pair = tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]  # what the weights answer, what the artefact does


@dataclass(frozen=True)
class Limits:
    """What an export may cost.

    Attributes:
        max_score, mean_score: absolute differences of the scores.
        flip_share: share of decisions that change, of the scores further than 0.01 from their threshold.
        feature: largest difference of any other output, relative to the largest value of that output; int8 has no such
            limit, since single values may be far off where scores, which sum over many, are not.
    """

    max_score: float
    mean_score: float
    flip_share: float
    feature: float


LIMITS = {  # bf16 has eight times coarser steps than fp16, and is the backend's: no layer is kept from it
    "fp32": Limits(max_score=1e-5, mean_score=1e-6, flip_share=0.0, feature=1e-5),
    "fp16": Limits(max_score=2e-2, mean_score=2e-3, flip_share=0.01, feature=5e-2),
    "bf16": Limits(max_score=5e-2, mean_score=5e-3, flip_share=0.02, feature=2e-1),
    "int8": Limits(max_score=1e-1, mean_score=2e-2, flip_share=0.03, feature=math.inf),
}


@dataclass(frozen=True)
class ParityReport:
    """Reference against artefact, over clips from subtle to large motion at several batches.

    Attributes:
        precision: whose limits hold.
        clips: how many different clips were compared.
        runs: how often one of them was run: each counts at every batch that it is in, and so do its decisions and
            regions.
        max_score, mean_score: absolute differences of the scores; an encoder's are those that the fp32 head makes of
            its features.
        decision_flips: decisions that change, of the scores further than 0.01 from their threshold. The scores of an
            untrained model may all lie on one side of it, so there each AU's median score is taken for threshold.
        decisions: how many such scores there are.
        region_flips: frames and groups whose likeliest AU combination differs; a step function, so never a limit.
        regions: how many frames and groups there are.
        feature: largest relative difference of region logits and features.
        not_finite: values of the artefact that are NaN or infinite.
        failure: which limit was broken; empty when none was.
        against: what answered as it should: the weights, or graphs that were compared with them.
    """

    precision: str
    clips: int
    runs: int
    max_score: float
    mean_score: float
    decision_flips: int
    decisions: int
    region_flips: int
    regions: int
    feature: float
    not_finite: int
    failure: str = ""
    against: str = WEIGHTS

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which knows neither NaN nor infinity: None stands for them."""
        facts = asdict(self)
        return {
            name: None if isinstance(fact, float) and not math.isfinite(fact) else fact for name, fact in facts.items()
        }

    def __str__(self) -> str:
        clips = number_of(self.clips, "clip")
        clips += f" in {number_of(self.runs, 'run')}" if self.runs != self.clips else ""
        return (
            f"scores differ by {self.mean_score:.1e} on average and {self.max_score:.1e} at most over {clips}, "
            f"{self.decision_flips} of {self.decisions} decisions flip, {self.region_flips} of {self.regions} "
            f"region classes; other outputs by {self.feature:.1e} of their largest value"
        )


@dataclass(frozen=True)
class Broken:
    """An artefact that is wrong, not only different: damaged, stale, of another shape, or answering NaN.

    Attributes:
        failure: what is wrong with it.
    """

    failure: str

    def to_dict(self) -> dict[str, Any]:
        """For the manifest, where it counts like the failure of a `ParityReport`."""
        return asdict(self)

    def __str__(self) -> str:
        return self.failure


def report_on(
    precision: str, clips: int, thresholds: NDArray[Any], pairs: list[Pair], against: str = WEIGHTS
) -> ParityReport:
    """Count what differs.

    Args:
        precision: whose `LIMITS` hold.
        clips: how many different clips the pairs are about.
        thresholds: one an AU.
        against: see `ParityReport`.

    Raises:
        ExportError: an output has another shape than the reference.
    """
    errors: list[NDArray[Any]] = []
    feature, flips, decisions, region_flips, regions, broken = 0.0, 0, 0, 0, 0, 0
    for wanted, got in pairs:
        for name, value in got.items():
            reference = wanted[name]
            if value.shape != reference.shape:
                raise ExportError(
                    f"output '{name}' must have the shape {reference.shape}; the graph gives {value.shape}"
                )
            broken += int((~np.isfinite(value)).sum())
            error = np.where(np.isfinite(value), np.abs(value - reference), np.inf)
            if name == "scores":
                errors.append(error.ravel())
                clear = np.abs(reference - thresholds) > CLEAR
                decisions += int(clear.sum())
                flips += int((((reference >= thresholds) != (value >= thresholds)) & clear).sum())
                continue
            feature = max(feature, float(error.max() / max(np.abs(reference).max(), 1e-12)))
            if name.startswith("region_logits"):
                regions += reference[..., 0].size
                region_flips += int((reference.argmax(-1) != value.argmax(-1)).sum())
    all_errors = np.concatenate(errors)
    report = ParityReport(
        precision=precision,
        clips=clips,
        runs=sum(len(wanted["scores"]) for wanted, _ in pairs),
        max_score=float(all_errors.max()),
        mean_score=float(all_errors.mean()),
        decision_flips=flips,
        decisions=decisions,
        region_flips=region_flips,
        regions=regions,
        feature=feature,
        not_finite=broken,
        against=against,
    )
    return replace(report, failure="; ".join(failures(report, LIMITS[precision])))


def failures(report: ParityReport, limits: Limits, share: float = 1.0) -> Iterator[str]:
    """Which limits, or that share of them, a report exceeds."""
    found = Limits(
        report.max_score, report.mean_score, report.decision_flips / max(report.decisions, 1), report.feature
    )
    for name, most in vars(limits).items():
        value, limit = getattr(found, name), share * most
        if not value <= limit:
            yield f"{name} is {value:.2g}, more than {limit:g}"
    if report.not_finite:
        yield f"{number_of(report.not_finite, 'value is', 'values are')} not finite"
