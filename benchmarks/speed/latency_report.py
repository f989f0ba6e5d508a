"""What a latency run shows and writes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.speed.candidates import BASELINE, Settings
from benchmarks.speed.measuring import BASELINE_TOLERANCE, Measured
from benchmarks.speed.rows import Row, matmul_gmacs_per_s
from benchmarks.speed.worker import MATMUL_SIZE
from mdhr_sdk.modelfolder.folder import ModelFolder


def header(folder: ModelFolder, machine: Machine, settings: Settings) -> str:
    """What is measured, and on what."""
    config = folder.config
    lines = [
        *machine.lines(),
        f"{folder.path}: {config.model.label_set.name} {config.model.backbone}, T = {config.clip_length}, "
        f"graph {settings.graph}, batch {settings.batch}, {settings.threads} threads, device {settings.device}, "
        f"{settings.rounds} rounds of at least {settings.turn_s:g} s",
    ]
    return "\n".join([*lines, f"warning: {machine.warning}"] if machine.warning else lines)


def latency_table(found: list[Row]) -> Table:
    """The rows that have figures."""
    on_device = any(r.device_mib is not None for r in found)
    heads = (
        *("p50 ms", "p90", "p99", "min", "runs", "frames/s", "x baseline", "GMAC/s", "of peak"),
        *("MiB loaded", "MiB peak", *["MiB device"] * on_device, "score diff"),
    )
    table = Table()
    table.add_column("backend", no_wrap=True)
    table.add_column("precision")
    for head in heads:
        table.add_column(head, justify="right", min_width=7 if head == "score diff" else None)
    for r in found:
        if r.reason is not None:
            continue
        times = (r.latency_ms_p50, r.latency_ms_p90, r.latency_ms_p99, r.latency_ms_min)
        table.add_row(
            _name(r),
            r.precision,
            *(_cell(value, ".1f") for value in times),
            str(r.runs),
            *(_cell(r.frames_per_s, ".1f"), _cell(r.times_as_fast, ".2f")),
            *(_cell(r.gmacs_per_s, ".1f"), _cell(r.share_of_peak, ".0%")),
            *(_cell(r.rss_loaded_mib, ".0f"), _cell(r.rss_peak_mib, ".0f")),
            *[_cell(r.device_mib, ".0f")] * on_device,
            _cell(r.max_score_difference, ".1e"),
        )
    return table


def _name(r: Row) -> str:
    name = "baseline" if r.backend == BASELINE.backend else r.backend
    return f"{name} uint8" if r.graph.endswith("_u8") else name


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def reason_table(found: list[Row]) -> Table:
    """The rows without figures."""
    table = Table("not measured", "precision", "reason")
    for r in found:
        if r.reason is not None:
            table.add_row(_name(r), r.precision, r.reason)
    return table


def notes(measured: Measured, settings: Settings) -> str:
    """What the columns mean, and what this run says of itself."""
    baseline = "differences before convolutions, average pooling as released"
    if settings.base != "clip":
        baseline = f"the {settings.base} graph, pooling as released (the released code itself knows whole clips only)"
    products = matmul_gmacs_per_s(measured)
    size = MATMUL_SIZE[settings.device.partition(":")[0]]
    peak = ", ".join(f"{library} {value:.1f} GMAC/s" for library, value in products.items()) or "none could be measured"
    lines = [
        f"baseline: eager PyTorch, fp32, {baseline}",
        "x baseline: times as fast, the median over rounds of the ratio of each round's medians",
        f"of peak: GMAC/s of the fp32 model over the faster fp32 matrix product of the same rounds, {size} x {size}: "
        f"{peak}; lower precisions may exceed 100 %",
        "p99 of fewer than a hundred runs lies between the slowest two; score diff: the largest to the baseline",
        "uint8: from crops as bytes, normalised inside the graph; the others, and the baseline, from normalised floats",
    ]
    rounds = max(map(len, measured.turns_ms.values()), default=0)
    if rounds < settings.rounds and measured.turns_ms:
        lines.append(f"{rounds} of {settings.rounds} rounds, which took {settings.most_s:g} s (--most-seconds)")
    if settings.device != "cpu":
        lines.append(
            "MiB device: what was free of the device less, once it was warm; another program's use disturbs it"
        )
    if measured.baseline_difference is not None:
        lines.append(
            f"the baseline differs from the model by {measured.baseline_difference:.1e}; allowed is "
            f"{BASELINE_TOLERANCE:g}"
        )
    return "\n".join(lines)


def report_content(
    folder: ModelFolder, machine: Machine, settings: Settings, measured: Measured, macs: int | None, found: list[Row]
) -> dict[str, Any]:
    """Everything, for the JSON file."""
    config = folder.config
    return {
        "benchmark": "latency",
        "machine": {**asdict(machine), "warning": machine.warning},
        "model": {
            "folder": str(folder.path),
            "label_set": config.model.label_set.name,
            "backbone": config.model.backbone,
            "clip_length": config.clip_length,
            "trained": config.trained,
        },
        "settings": asdict(settings),
        "macs_a_run": macs,
        "matmul_gmacs_per_s": matmul_gmacs_per_s(measured),
        "matmul_size": MATMUL_SIZE[settings.device.partition(":")[0]],
        "baseline_difference": measured.baseline_difference,
        "rows": [asdict(r) for r in found],
    }
