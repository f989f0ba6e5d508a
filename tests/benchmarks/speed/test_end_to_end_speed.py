"""Videos measured as a whole: what is shown, the page that is made of it, and one real run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.speed.endtoend import page, run
from benchmarks.speed.endtoend.scenes import Scene, scenes, write_scene
from mdhr_sdk.errors import SourceError
from mdhr_sdk.vision import list_sources

ROW = {
    "scene": "1 face, 640x360", "engine": "onnx", "overlay": False, "frames": 60, "frames_per_s": 120.0, "faces": 1.0,
    "cpu_ms_a_frame": 9.5, "frame_ms": {"p50": 8.0, "p90": 9.0, "p99": 12.0, "p99.9": 14.0}, "steps": 48,
    "first_result_s": 1.9, "peak_mib": 512.0, "share_of_facemesh_alone": 0.75, "least_share": 0.7,
    "most_share": 0.8,
}  # fmt: skip
MEASURED: dict[str, Any] = {
    "machine": {
        "cpu": "A CPU", "cores": 2, "system": "Linux", "python": "3.11", "versions": {"numpy": "2.0"}, "warning": "",
        "date": "2026-11-30T20:00:00+00:00", "load_average": 0.2,
    },
    "facemesh_alone": {"1 face, 640x360": {"frames_per_s": 160.0}},
    "rows": [ROW, {**ROW, "overlay": True, "frames_per_s": 90.0}],
    "profiles": {"onnx": {"frames": 48, "steps_ms": {"faces and meshes": 3.25, "tables": 0.25}}},
}  # fmt: skip


def test_the_page_holds_the_measured_figures() -> None:
    text = page.section(MEASURED)
    assert (
        "| 1 face, 640x360 | onnx | no | 60 | 120 | 0.75 (0.70 to 0.80) | 9.5 | 8.0 / 9.0 / 12.0 / 14.0 | 1.9 | 512 |"
        in text
    )
    assert "| all of these | 3.50 |" in text and "90 frames/s with it, 120 without" in text
    assert "A CPU, 2 cores" in text and "Warning" not in text


def test_percentiles_of_a_few_frames_are_not_told() -> None:
    row = {**ROW, "frames": 15, "steps": 2}
    assert "| 9.5 | - / - / - / - | 1.9 |" in page.section({**MEASURED, "rows": [row, {**row, "overlay": True}]})
    assert run.cells(row)[3:7] == ["-"] * 4


def test_a_machine_that_was_not_quiet_is_told() -> None:
    machine = {**MEASURED["machine"], "warning": "load average 9.00"}
    assert "Warning: load average 9.00." in page.section({**MEASURED, "machine": machine})


def test_the_plot_has_a_bar_a_row() -> None:
    bars = ElementTree.fromstring(page.plot(MEASURED)).findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert [int(bar.get("width", "0")) for bar in bars] == [page.WIDTH, round(page.WIDTH * 90 / 120)]


def test_the_committed_page_is_what_the_committed_results_give() -> None:
    assert page.main(check=True) == 0


def test_without_fetched_models_an_engine_is_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDHR_CACHE", str(tmp_path))
    found = run.usable_engines(["tasks", "onnx"])
    assert "mdhr fetch faces" in found["tasks"] and "mdhr faces export" in found["onnx"]


def test_scenes_have_as_many_frames_and_faces_as_they_say(tmp_path: Path) -> None:
    assert [(one.faces, one.width, one.frames) for one in scenes(80)] == [
        (1, 640, 80), (4, 640, 40), (1, 1920, 40), (4, 1920, 40),
    ]  # fmt: skip
    write_scene(Scene(4, 640, 360, 5), tmp_path / "four.mp4")
    with list_sources(str(tmp_path / "four.mp4"))[0] as source:
        assert [frame.image.shape for frame in source] == [(360, 640, 3)] * 5


@pytest.mark.slow
def test_a_measurement_that_fails_says_why() -> None:
    with pytest.raises(SourceError, match=r"'case' of .* failed; it said: .*nowhere"):
        run.ask("case", video="nowhere.mp4", engine="solutions", overlay=False, began_s=0.0)


@pytest.mark.slow
def test_a_small_video_is_measured(tmp_path: Path) -> None:
    video = tmp_path / "one.mp4"
    write_scene(Scene(1, 320, 240, 40), video)
    found = run.ask("case", video=str(video), engine="auto", overlay=True, began_s=time.monotonic())
    assert found["frames"] == 40 and found["steps"] == 20 and found["faces"] > 0.9
    assert 0 < found["frame_ms"]["p50"] <= found["frame_ms"]["p99.9"] and found["first_result_s"] > 0
    steps = run.ask("profile", video=str(video), engine="auto")["steps_ms"]
    assert min(steps.values()) >= 0 and steps["faces and meshes"] > 0
