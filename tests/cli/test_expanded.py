"""Options of a command that are written as a dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import typer
from typer.testing import CliRunner

from mdhr_sdk.cli.parts.expanded import expanded


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(min=1, help="In pixels.")] = 4
    height: int | None = None


@dataclass(frozen=True)
class Options:
    name: Annotated[str, typer.Argument(help="Of the picture.")]
    size: Size = field(default_factory=Size)
    grey: Annotated[bool, typer.Option("--grey")] = False


def test_fields_are_options_and_come_back_as_dataclasses() -> None:
    app, given = typer.Typer(), []

    @app.command()
    @expanded
    def draw(context: typer.Context, options: Options, times: int = 1) -> None:
        """Draw it."""
        given.append((sorted(context.params), options, times))

    run = CliRunner().invoke
    assert run(app, ["a", "--width", "7", "--grey", "--times", "2"]).exit_code == 0
    assert given == [(["grey", "height", "name", "times", "width"], Options("a", Size(7), True), 2)]
    assert run(app, ["a"]).exit_code == 0 and given[-1][1:] == (Options("a"), 1)
    assert run(app, []).exit_code == 2 and run(app, ["a", "--width", "0"]).exit_code == 2 and len(given) == 2
    said = run(app, ["--help"]).output
    assert "Draw it." in said and said.index("--width") < said.index("--height") < said.index("--grey")
