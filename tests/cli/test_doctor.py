"""mdhr doctor: what is there, what is not, and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mdhr_sdk import __version__
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.ops import extension_status


def doctor(*words: Path) -> str:
    """What the command prints, in a process of its own: it loads every backend that there is."""
    command = [sys.executable, "-m", "mdhr_sdk", "doctor", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "400"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installation_is_described() -> None:
    text = doctor()
    assert __version__ in text and extension_status() in text
    assert "backend onnxruntime" in text and "onnxruntime 1." in text
    assert "mdhr doctor" in text and "CUDA devices" in text


@pytest.mark.slow
def test_a_folder_is_tried_backend_by_backend(tiny_onnx_folder: Path) -> None:
    lines = doctor(tiny_onnx_folder).splitlines()
    found = {(mode, name): line for line in lines for mode in ("clip", "stream") for name in NAMES
             if f"│ {mode} " in line and f"│ {name} " in line}  # fmt: skip
    assert "runs: onnxruntime fp32 on cpu" in found["clip", "auto"]
    assert "runs: onnxruntime fp32 on cpu" in found["clip", "onnxruntime"]
    assert "runs: onnxruntime fp32 on cpu" in found["stream", "onnxruntime"]
    assert "runs: torch fp32 on cpu" in found["stream", "torch"]
    assert (
        "mdhr export" in found["stream", "torchscript"] and "encoder.torchscript.pt" in found["stream", "torchscript"]
    )


NAMES = ("auto", "onnxruntime", "torch", "torchscript")


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", str(tmp_path)])
    assert isinstance(result.exception, ModelFolderError)


@pytest.mark.slow
def test_a_damaged_graph_is_a_row_not_the_end(tiny_onnx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_onnx_folder, tmp_path / "damaged")
    (folder / "encoder.onnx").write_bytes((folder / "encoder.onnx").read_bytes()[:1000])
    lines = doctor(folder).splitlines()
    assert any("│ stream" in line and "│ onnxruntime " in line and "runs" not in line for line in lines)
    assert any("│ stream" in line and "│ torch " in line and "runs: torch" in line for line in lines)
