"""`mdhr report`: results as web pages, one a source and an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ...errors import number_of
from ..parts.options import BAD_INPUT, command_app, complain, say
from ..parts.out import named_folder
from ..parts.progress import counted

app = command_app()


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Folders of results, or tables.")],
    out: Annotated[Path, typer.Option(help="Folder for the pages.", parser=named_folder)] = Path("mdhr-report"),
    about: Annotated[
        Optional[Path],
        typer.Option(help="CSV with a column source, and person, condition, or both: tables for each of them."),
    ] = None,
) -> None:
    """Make web pages of results: timelines, events, quality, and tables of a study.

    Each page holds all that it shows: it can be moved, sent and opened without a network.
    """
    from ...outputs.report.study import find_tables, read_about, write_report

    told = None if about is None else read_about(about)
    with counted("report") as progress:
        files, errors = write_report(find_tables(results), out, told, progress)
    if files:
        say(f"wrote {number_of(len(files) - 1, 'page')} and {files[-1]}")
    for error in errors:
        complain(error)
    if errors:
        raise typer.Exit(BAD_INPUT)
