"""Percentiles, ratios and shares from made-up times."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import console
from benchmarks.speed.candidates import BASELINE, Candidate, Settings
from benchmarks.speed.latency_report import latency_table, notes, reason_table
from benchmarks.speed.measuring import MATMULS, Measured
from benchmarks.speed.rows import frames_a_run, row, score_difference, times_as_fast
from mdhr_sdk.aus import label_set
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig

ORT = Candidate("onnxruntime")
Turns = list[list[float]]
TURNS = st.lists(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=7), min_size=1, max_size=5)


def measured(turns: Turns, baseline: Turns | None = None, **answer: Any) -> Measured:
    """Two candidates that ran, and matrix products of 100 and 200 GMAC/s."""
    ready = {"scores": [[0.5, 0.25]], "rss_loaded_mib": 100.0}
    found = Measured(ready={ORT: {**ready, **answer}}, turns_ms={ORT: turns}, rss_peak_mib={ORT: 150.0})
    if baseline is not None:
        found.ready[BASELINE], found.turns_ms[BASELINE], found.rss_peak_mib[BASELINE] = ready, baseline, None
    for library, milliseconds in (("numpy", 10.0), ("torch", 5.0)):
        found.ready[MATMULS[library]] = {"size": 1000}
        found.turns_ms[MATMULS[library]] = [[milliseconds], [milliseconds, milliseconds]]
    return found


@given(TURNS)
def test_percentiles_are_those_of_all_runs(turns: Turns) -> None:
    found = row(ORT, measured(turns), Settings(), frames=16, macs=None)
    runs = [time for turn in turns for time in turn]
    assert (found.runs, found.latency_ms_min) == (len(runs), min(runs))
    assert found.latency_ms_p50 == pytest.approx(statistics.median(runs))
    if len(runs) > 1:
        hundredths = statistics.quantiles(runs, n=100, method="inclusive")
        assert found.latency_ms_p90 == pytest.approx(hundredths[89])
        assert found.latency_ms_p99 == pytest.approx(hundredths[98])


def test_the_ratio_is_the_median_of_the_ratios_of_rounds() -> None:
    # rounds in which the whole machine was twice and ten times as slow
    assert times_as_fast([[5.0], [10.0], [50.0]], [[10.0], [20.0], [100.0]]) == 2
    assert times_as_fast([[1.0], [1.0], [1.0]], [[2.0], [3.0], [400.0]]) == 3
    assert times_as_fast([[1.0, 2.0, 90.0]], [[8.0, 8.0]]) == 4


@given(TURNS, st.floats(0.1, 10))
def test_a_candidate_whose_every_run_is_slower_by_a_factor_has_that_ratio(turns: Turns, factor: float) -> None:
    own = [[time * factor for time in turn] for turn in turns]
    assert times_as_fast(own, turns) == pytest.approx(1 / factor)
    assert times_as_fast(turns, turns) == 1


def test_speed_frames_and_share_of_the_faster_product() -> None:
    found = row(ORT, measured([[10.0], [10.0]], [[20.0], [40.0]]), Settings(), frames=32, macs=10**9)
    assert found.gmacs_per_s == pytest.approx(100)
    assert found.share_of_peak == pytest.approx(0.5)
    assert found.frames_per_s == pytest.approx(3200)
    assert found.times_as_fast == 3
    assert (found.rss_loaded_mib, found.rss_peak_mib, found.max_score_difference) == (100, 150, 0)


def test_what_cannot_be_had_is_none_and_not_made_up() -> None:
    found = row(ORT, measured([[10.0]]), Settings(), frames=16, macs=None)
    assert found.reason is None and found.frames_per_s == pytest.approx(1600)
    assert (found.times_as_fast, found.gmacs_per_s, found.share_of_peak, found.max_score_difference) == (None,) * 4
    without = measured([[10.0]])
    for candidate in MATMULS.values():
        del without.turns_ms[candidate]
    assert row(ORT, without, Settings(), frames=16, macs=10**9).share_of_peak is None
    assert "none could be measured" in notes(without, Settings())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_a_reason(bad: float) -> None:
    found = row(ORT, measured([[1.0]], [[1.0]], scores=[[0.5, bad]]), Settings(), frames=16, macs=1)
    assert found.reason and "not finite" in found.reason and found.latency_ms_p50 is None
    json.dumps(asdict(found), allow_nan=False)


def test_the_largest_score_difference_is_found() -> None:
    assert score_difference([[0.5, 0.1]], [[0.4, 0.9]]) == pytest.approx(0.8)
    assert score_difference(None, [[0.4]]) is None and score_difference([[0.4]], None) is None


@pytest.mark.parametrize(
    ("graph", "frames"), [("clip", 48), ("clip_u8", 48), ("encoder", 3), ("encoder_u8", 3), ("head", 3)]
)
def test_frames_of_a_run(graph: str, frames: int) -> None:
    config = FolderConfig(ModelConfig(label_set("bp4d")), clip_length=16)
    assert frames_a_run(config, Settings(graph, batch=3)) == frames


def test_memory_of_the_device_has_a_column_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    found, uint8 = measured([[10.0]]), Candidate("onnxruntime", bytes_in=True)
    for kind in (found.ready, found.turns_ms, found.rss_peak_mib):
        kind[uint8] = kind[ORT]  # type: ignore[index]
    console.print(latency_table([row(ORT, found, Settings(), 16, 1)]))
    assert "device" not in capsys.readouterr().out
    found.device_mib = {ORT: 1234.5, uint8: 1200.0}
    rows = [row(c, found, Settings(device="cuda"), 16, 1) for c in (ORT, uint8)]
    assert [(r.graph, r.device_mib) for r in rows] == [("clip", 1234.5), ("clip_u8", 1200.0)]
    console.print(latency_table(rows))
    out = capsys.readouterr().out
    assert "device" in out and "1234" in out and "onnxruntime uint8" in out
    assert "MiB device" in notes(found, Settings(device="cuda")) and "MiB device" not in notes(found, Settings())


def test_the_tables_show_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured([[10.0]], [[20.0]])
    found.failed[Candidate("openvino", "bf16")] = "no bf16 instructions; pip install -e '.[torch]'"
    rows = [row(c, found, Settings(), 16, 10**9) for c in (BASELINE, ORT, Candidate("openvino", "bf16"))]
    console.print(latency_table(rows))
    console.print(reason_table(rows))
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if "onnxruntime" in line)
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells == [
        "onnxruntime",
        "fp32",
        *["10.0"] * 4,
        "1",
        "1600.0",
        "2.00",
        "100.0",
        "50%",
        "100",
        "150",
        "0.0e+00",
    ]
    assert any("baseline" in line and " 1.00 " in line for line in lines)
    assert any(
        "openvino" in line and "bf16" in line and "no bf16 instructions; pip install -e '.[torch]'" in line
        for line in lines
    )
