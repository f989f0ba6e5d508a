"""What `mdhr export` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from ...errors import ExportError, require
from ..parts.options import MODEL, command_app, say

app = command_app()


def run_export(
    model: str | Path, kind: str, graphs: Sequence[str], precision: str, calibrate: str | None
) -> Iterator[str]:
    """Export; yield a line for each file that is kept: its size, and how it compares with the weights."""
    for module in ("torch", "timm", "safetensors"):
        require(module, "export")
    from ...deploy import export_each

    for exported in export_each(model, kind, graphs, precision, calibrate):
        yield from exported.lines()


def run_golden(model: str | Path, golden: int, out: Path, others: bool) -> Iterator[str]:
    """Write golden arrays instead of graphs; yields a line for each step."""
    from ...deploy.export.golden import write_golden

    if others:
        raise ExportError("--golden writes arrays of the fp32 ONNX graphs that are there; give it --out alone")
    yield from write_golden(model, golden, out)


def run_triton(
    model: str | Path, out: Path, graphs: Sequence[str], precision: str, calibrate: str | None
) -> Iterator[str]:
    """Write a Triton model repository; yields a line for each graph."""
    from ...deploy.export.triton import write_repository

    if calibrate is not None:
        raise ExportError("--calibrate is for graphs that are made, and --format triton takes those that are there")
    yield from write_repository(model, out, graphs, precision)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help=MODEL)],
    format: Annotated[
        Literal["onnx", "torchscript", "triton"],
        typer.Option(help="Graph format; triton puts ONNX graphs that are there into a new model repository."),
    ] = "onnx",
    graph: Annotated[
        Optional[list[str]],
        typer.Option(
            help="clip, encoder, head, relations, temporal, clip_u8 or encoder_u8; may be given again. "
            "Default: the first five."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    calibrate: Annotated[
        Optional[str], typer.Option(help="Footage with faces, on which int8 is calibrated and every precision checked.")
    ] = None,
    golden: Annotated[
        Optional[int],
        typer.Option(
            help="Instead of graphs, write the answers of the exported ones on so many sequences of a rendered face, "
            "to test code in any language with."
        ),
    ] = None,
    out: Annotated[
        Optional[Path], typer.Option(help="New folder for --golden (golden) or triton (model_repository).")
    ] = None,
) -> None:
    """Write graphs into a model folder, or put those that are there into a Triton model repository.

    A graph is kept only if its scores agree with those of the weights. If one is not kept, the others are still made.
    """
    if golden is not None:
        others = format != "onnx" or precision != "fp32" or bool(graph) or calibrate is not None
        lines = run_golden(model, golden, out or Path("golden"), others)
    elif format == "triton":
        lines = run_triton(model, out or Path("model_repository"), graph or [], precision, calibrate)
    elif out is not None:
        raise ExportError(f"--out is for --golden and --format triton; {format} graphs go into the model's folder")
    else:
        lines = run_export(model, format, graph or [], precision, calibrate)
    for line in lines:
        say(line)
