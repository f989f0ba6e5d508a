"""What several commands share: the words of an option, and how an error is told."""

from __future__ import annotations

import sys
from typing import Any

import typer

from ...errors import CheckpointError, MDHRError
from ...modelfolder.bundled import BUNDLED

BAD_INPUT = 2  # exit code
MODEL = f"Model folder, or {' or '.join(BUNDLED)}, which comes with mdhr_sdk"
CONTEXT = {"help_option_names": ["-h", "--help"]}


def command_app(**options: Any) -> typer.Typer:
    """The command of one file, or a group of them."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT, **options)


def complain(error: MDHRError) -> None:
    """One line on standard error."""
    text = error.listing(most=3) if isinstance(error, CheckpointError) else str(error)
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
