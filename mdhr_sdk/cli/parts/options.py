"""What several commands share: the words of an option, and how an error is told."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import rich.console
import typer
from rich.segment import Segment

from ...errors import CheckpointError, MDHRError, plain
from ...modelfolder.bundled import BUNDLED
from ...modelfolder.folder import Trust

BAD_INPUT = 2  # exit code
MODEL = f"Model folder, or {' or '.join(BUNDLED)}, which comes with mdhr_sdk"
CONTEXT = {"help_option_names": ["-h", "--help"]}
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run TorchScript and engines that were not made on this machine; they can do whatever you can.",
    ),
]


def command_app(**options: Any) -> typer.Typer:
    """The command of one file, or a group of them."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT, **options)


def trust(code: bool) -> Trust | None:
    """What `--trust-code` means."""
    return "code" if code else None


class Console(rich.console.Console):
    """Rich's console, in which no text can move the cursor or colour what follows: names come from anywhere."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            text = segment.text
            if segment.control is None and not text.isprintable():
                segment = segment._replace(text="\n".join(map(plain, text.split("\n"))))
            yield segment


def say(text: object) -> None:
    """Lines on standard output, shown as `Console` does."""
    typer.echo("\n".join(map(plain, str(text).split("\n"))))


def complain(error: MDHRError) -> None:
    """One line on standard error."""
    text = error.listing(most=3) if isinstance(error, CheckpointError) else str(error)
    print(f"error: {plain(' '.join(text.split()))}", file=sys.stderr)
