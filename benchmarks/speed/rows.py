"""From the times of every run to the rows of the table."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.speed.candidates import BASELINE, Candidate, Settings
from benchmarks.speed.measuring import MATMULS, Measured, Turns
from mdhr_sdk.modelfolder.config import FolderConfig


@dataclass(frozen=True)
class Row:
    """One candidate. Without figures, `reason` says why; a figure that cannot be had is None.

    Attributes:
        latency_ms_*: percentiles over all runs of all turns; `runs` of them.
        frames_per_s: at the median: B * T a clip run, B an encoder or head run (a head scores one new frame).
        times_as_fast: how many times as fast as the baseline: the median over rounds of the ratio of the medians
            of a round.
        gmacs_per_s: multiply-adds of the fp32 model a run over the median latency, in 10**9.
        share_of_peak: that over the fastest fp32 matrix product of the same run; above 1 is possible for rows that
            compute in a lower precision.
        rss_loaded_mib, rss_peak_mib: resident memory of the process after loading, and the most of the whole run.
        device_mib: memory of the CUDA device that the process took until it was warm, its context included.
        max_score_difference: largest absolute difference to the baseline's scores of the same clips.
    """

    backend: str
    precision: str
    graph: str
    device: str
    reason: str | None = None
    runs: int = 0
    latency_ms_p50: float | None = None
    latency_ms_p90: float | None = None
    latency_ms_p99: float | None = None
    latency_ms_min: float | None = None
    frames_per_s: float | None = None
    times_as_fast: float | None = None
    gmacs_per_s: float | None = None
    share_of_peak: float | None = None
    rss_loaded_mib: float | None = None
    rss_peak_mib: float | None = None
    device_mib: float | None = None
    max_score_difference: float | None = None
    turns_ms: tuple[tuple[float, ...], ...] = ()


def times_as_fast(turns_ms: Turns, baseline_ms: Turns) -> float:
    """Median over rounds of baseline median / own median: what disturbs a whole round disturbs both."""
    return median(median(base) / median(own) for own, base in zip(turns_ms, baseline_ms, strict=True))


def frames_a_run(config: FolderConfig, settings: Settings) -> int:
    """New frames that a run scores or encodes."""
    return settings.batch * (config.clip_length if settings.base == "clip" else 1)


def matmul_gmacs_per_s(measured: Measured) -> dict[str, float]:
    """Library -> what its fp32 matrix product reached, at the median over all its runs; those that ran."""
    return {
        library: int(measured.ready[candidate]["size"]) ** 3 / 1e6 / float(np.median(np.concatenate(turns)))
        for library, candidate in MATMULS.items()
        if (turns := measured.turns_ms.get(candidate))
    }


def score_difference(scores: object, baseline: object) -> float | None:
    """Largest absolute difference; None where either gives no scores, infinite where one is not finite."""
    if scores is None or baseline is None:
        return None
    error = np.abs(np.asarray(scores, np.float64) - np.asarray(baseline, np.float64))
    return float(error.max()) if np.isfinite(error).all() else np.inf


def row(candidate: Candidate, measured: Measured, settings: Settings, frames: int, macs: int | None) -> Row:
    """The row of one candidate.

    Args:
        frames: of `frames_a_run`.
        macs: multiply-adds of a whole run; None where they could not be counted.
    """
    names = (candidate.backend, candidate.precision, settings.graph_of(candidate), settings.device)
    if candidate in measured.failed:
        return Row(*names, reason=measured.failed[candidate])
    ready, turns = measured.ready[candidate], measured.turns_ms[candidate]
    baseline = measured.turns_ms.get(BASELINE)
    difference = score_difference(ready["scores"], measured.ready.get(BASELINE, {}).get("scores"))
    if difference == np.inf:
        return Row(*names, reason="its scores, or the baseline's, are not finite numbers")
    times_ms = np.concatenate(turns)
    p50, p90, p99 = (float(value) for value in np.percentile(times_ms, (50, 90, 99)))
    speed = None if macs is None else macs / 1e6 / p50
    peak = max(matmul_gmacs_per_s(measured).values(), default=None)
    return Row(
        *names,
        runs=len(times_ms),
        latency_ms_p50=p50,
        latency_ms_p90=p90,
        latency_ms_p99=p99,
        latency_ms_min=float(times_ms.min()),
        frames_per_s=1e3 * frames / p50,
        times_as_fast=None if baseline is None else times_as_fast(turns, baseline),
        gmacs_per_s=speed,
        share_of_peak=None if speed is None or peak is None else speed / peak,
        rss_loaded_mib=ready["rss_loaded_mib"],
        rss_peak_mib=measured.rss_peak_mib[candidate],
        device_mib=measured.device_mib.get(candidate),
        max_score_difference=difference,
        turns_ms=tuple(map(tuple, turns)),
    )
