"""What `mdhr verify` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ..errors import ExportError, require

if TYPE_CHECKING:
    from ..deploy import ParityReport

COLUMNS = ("mean |Δscore|", "max", "flips", "region flips", "others, relative", "verdict")


def run_verify(model: str | Path, on: str | None, backends: Sequence[str]) -> None:
    """Compare and print a table.

    Raises:
        ExportError: an artefact is broken or differs by more than its precision may cost, all were looked at; or there
            is none. What cannot run on this machine is told, and no error.
    """
    for module in ("torch", "timm", "safetensors"):
        require(module, "export")
    from ..deploy import ParityReport, verify

    table = Table(title=f"{model}: exported graphs against the weights")
    table.add_column("file", no_wrap=True)
    for column in ("run by", *COLUMNS):
        table.add_column(column)
    failed = []
    for name, outcome in verify(model, on, backends):
        file, _, run_by = name.partition(", ")
        if isinstance(outcome, ParityReport):
            cells = _cells(outcome)
        else:
            cells = ("",) * 5 + (f"not run: {outcome}" if isinstance(outcome, str) else "broken",)
        table.add_row(file, run_by or "as exported", *cells)
        if not isinstance(outcome, str) and outcome.failure:
            failed.append(f"{name}: {outcome.failure}")
    if not table.row_count:
        raise ExportError(f"'{model}' has no exported graph to compare; make some with: mdhr export {model}")
    Console(markup=False).print(table)
    if failed:
        raise ExportError(f"{'; '.join(failed)}; they are not used so until they are exported again")


def _cells(report: ParityReport) -> tuple[str, ...]:
    return (
        f"{report.mean_score:.1e}",
        f"{report.max_score:.1e}",
        f"{report.decision_flips} / {report.decisions}",
        f"{report.region_flips} / {report.regions}",
        f"{report.feature:.1e}",
        "differs" if report.failure else "equal" if report.precision == "fp32" else "within limits",
    )
