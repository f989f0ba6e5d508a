"""What a checkout and its Makefile must keep to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no checkout")
def test_no_checkout_changes_the_bytes_that_a_manifest_vouches_for() -> None:
    """As the ends of lines on Windows, which core.autocrlf would."""
    command = ["git", "check-attr", "text", "--", *map(str, (ROOT / "mdhr_sdk" / "models").rglob("*.*"))]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert any("config.json" in line for line in told)
    assert [line for line in told if not line.endswith("text: unset")] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_the_kernels_are_built_anew_when_their_sources_change(tmp_path: Path) -> None:
    stamp = tmp_path / "installed-light"
    stamp.touch()
    told = [
        subprocess.run(
            ["make", "--dry-run", *changed, f"VENV={tmp_path}", str(stamp)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for changed in ([], ["--what-if=csrc/clip.cpp"])
    ]  # fmt: skip
    assert "pip install" not in told[0] and "pip install" in told[1]
