"""The table of what `mdhr detect` makes of a folder of cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import cases


def test_a_table_tells_rows_times_scores_and_errors(tmp_path: Path, command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("base.mp4", "broken.mp4", "README.md"):
        (tmp_path / name).touch()

    def measure(source: Path, out: Path, *options: str) -> cases.Row:
        if source.name == "broken.mp4":
            return cases.Row(source.name, None, None, {}, 2, "error: damaged")
        return cases.Row(source.name, 60, 2.36, {"AU12": 0.58, "AU01": 0.04}, 0, "")

    monkeypatch.setattr(cases, "measure", measure)
    code, printed, _ = command(cases.app, tmp_path)
    assert code == 0
    assert printed.splitlines()[2:] == [
        "| base.mp4 | 60 | 2.360 | 0.580 (+0.000) | 0.040 (+0.000) |  | 0 |  |",
        "| broken.mp4 |  |  |  |  |  | 2 | error: damaged |",
    ]


def test_a_missing_folder_is_one_line(tmp_path: Path, command) -> None:
    code, _, told = command(cases.app, tmp_path / "none")
    assert code != 0 and told.count("\n") == 1


@pytest.mark.slow
def test_a_file_is_measured_by_the_command_itself(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x1cftypisom" + bytes(900))
    row = cases.measure(tmp_path / "broken.mp4", tmp_path / "out")
    assert (row.rows, row.code) == (None, 2)
    assert "cannot decode broken.mp4" in row.note
