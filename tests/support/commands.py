"""Running a command line as a person does, without a new process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

from mdhr_sdk.cli.app import run_app

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """(app, *arguments) -> exit code, standard output, standard error."""

    def call(app: typer.Typer, *arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            run_app(app)
        captured = capfd.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call
