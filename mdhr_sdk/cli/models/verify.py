"""What `mdhr verify` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from ...errors import BackendError, ExportError, ModelFolderError
from ...modelfolder.folder import WEIGHTS, Trust
from ..parts.options import MODEL, Console, TrustCode, command_app, trust

if TYPE_CHECKING:
    from ...deploy import Broken, ParityReport
    from ...deploy.parity.verification import Outcome

WIDTH = 150
COLUMNS = ("mean |Δscore|", "max", "flips", "region flips", "others, relative", "verdict")
app = command_app()


def run_verify(model: str | Path, on: str | None, backends: Sequence[str], code: Trust | None = None) -> None:
    """Compare all graphs and print a table, also of what is done if the run stops early.

    Raises:
        ExportError: a graph failed, after all were compared; or there is no graph.
        BackendError: nothing in the named `backends` could run. Otherwise what cannot run here is told, and no error.
        ModelFolderError: the folder cannot be used, or what came out cannot be noted in it.
    """
    from ...deploy import verify

    found: dict[str, Outcome] = {}
    unnoted = ""
    try:
        for name, outcome in verify(model, on, backends, code):
            found[name] = outcome
    except ModelFolderError as error:
        if not found:
            raise
        unnoted = str(error)
    finally:
        if found:
            console = Console(markup=False)
            console.width = max(console.width, WIDTH)  # cells cut to a narrow terminal or pipe say nothing
            console.print(_table(model, found))
    failed = "; ".join(f"{name}: {it.failure}" for name, it in found.items() if not isinstance(it, str) and it.failure)
    if unnoted:
        raise ModelFolderError(f"{failed}; {unnoted}" if failed else unnoted)
    if failed:
        raise ExportError(f"{failed}; these files are disabled until they pass")
    reasons = [outcome for outcome in found.values() if isinstance(outcome, str)]
    if backends and reasons and len(reasons) == len(found):
        raise BackendError(f"nothing could be compared in {', '.join(backends)}: {reasons[0]}")
    if not found:
        raise ExportError(_nothing(model, backends))


def _nothing(model: str | Path, backends: Sequence[str]) -> str:
    """Why there is no row."""
    from ...deploy.parity.verification import exported
    from ...modelfolder.folder import ModelFolder

    if graphs := exported(ModelFolder.open(model)):
        return (
            f"{', '.join(backends)} runs none of what '{model}' has, which is {', '.join(graphs)}; see: mdhr export -h"
        )
    return f"'{model}' has no exported graph to compare; make some with: mdhr export {model}"


def _table(model: str | Path, found: Mapping[str, Outcome]) -> Table:
    from ...deploy import ParityReport

    against = {outcome.against for outcome in found.values() if isinstance(outcome, ParityReport)} - {WEIGHTS}
    table = Table(title=f"{model}: exported graphs against {'; '.join(against) or 'the weights'}")
    table.add_column("file", no_wrap=True)
    for column in ("run by", *COLUMNS):
        table.add_column(column)
    for name, outcome in found.items():
        file, _, run_by = name.partition(", ")
        cells = _cells(outcome) if isinstance(outcome, ParityReport) else ("",) * 5 + (_without_figures(outcome),)
        table.add_row(file, run_by or "as exported", *cells)
    return table


def _without_figures(outcome: Broken | str) -> str:
    from ...deploy.parity.verification import REFERENCE

    if outcome == REFERENCE:
        return "reference"
    return f"not run: {outcome}" if isinstance(outcome, str) else "broken"


def _cells(report: ParityReport) -> tuple[str, ...]:
    return (
        f"{report.mean_score:.1e}",
        f"{report.max_score:.1e}",
        f"{report.decision_flips} / {report.decisions}",
        f"{report.region_flips} / {report.regions}",
        f"{report.feature:.1e}",
        "differs" if report.failure else "equal" if report.precision == "fp32" else "within limits",
    )


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help=MODEL)],
    on: Annotated[Optional[str], typer.Option(help="Footage with faces to compare on.")] = None,
    backend: Annotated[
        Optional[list[str]],
        typer.Option(help="Only in this backend; may be given again. All that 'auto' considers if not given."),
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Compare a folder's exported graphs with its weights, in every backend that runs them here.

    Without PyTorch, they are compared with its fp32 ONNX graphs that were compared with the weights elsewhere.
    """
    run_verify(model, on, backend or [], trust(trust_code))
