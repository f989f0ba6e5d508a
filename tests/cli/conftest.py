"""The command line is run as a person does."""

from __future__ import annotations

import functools

import pytest

from commands import Command, command
from mdhr_sdk.cli.app import app

__all__ = ["command", "mdhr"]


@pytest.fixture
def mdhr(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Exit code, standard output and standard error of `mdhr ARGUMENTS`."""
    monkeypatch.setenv("COLUMNS", "200")
    return functools.partial(command, app)
