"""What `mdhr export` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..errors import require
from .parts.options import MODEL, command_app

app = command_app()


def run_export(
    model: str | Path, kind: str, graphs: Sequence[str], precision: str, calibrate: str | None
) -> Iterator[str]:
    """Export, and say of each file as soon as it is kept how large it is and how it compares with the weights."""
    for module in ("torch", "timm", "safetensors"):
        require(module, "export")
    from ..deploy import export_each

    for exported in export_each(model, kind, graphs, precision, calibrate):
        yield from exported.lines()


def run_golden(model: str | Path, golden: int, out: Path, others: bool) -> Iterator[str]:
    """Write golden arrays instead of graphs, and say of what."""
    from ..deploy.export.golden import write_golden
    from ..errors import ExportError

    if others:
        raise ExportError("--golden writes arrays of the fp32 ONNX graphs that are there; give it --out alone")
    yield from write_golden(model, golden, out)


class Format(str, Enum):
    """Graph formats that `mdhr export` writes."""

    onnx = "onnx"
    torchscript = "torchscript"


@app.command()
def export(
    model: Annotated[str, typer.Argument(help=MODEL)],
    format: Annotated[Format, typer.Option(help="Graph format.")] = Format.onnx,
    graph: Annotated[
        Optional[list[str]],
        typer.Option(
            help="clip, encoder, head, relations, temporal, clip_u8 or encoder_u8; may be given again. "
            "Default: the first five."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    calibrate: Annotated[
        Optional[str], typer.Option(help="Footage with faces: int8 is measured on it, any precision judged by it.")
    ] = None,
    golden: Annotated[
        Optional[int],
        typer.Option(
            help="Instead of graphs, write what those that are there answer on so many sequences of a rendered face, "
            "for code in any language to compare itself with."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where --golden writes: a new folder.")] = Path("golden"),
) -> None:
    """Write graphs into a model folder.

    Each is kept only if it answers like the weights. Where one is not, the others are made all the same.
    """
    if golden is not None:
        others = format is not Format.onnx or precision != "fp32" or bool(graph) or calibrate is not None
        lines = run_golden(model, golden, out, others)
    else:
        lines = run_export(model, format.value, graph or [], precision, calibrate)
    for line in lines:
        typer.echo(line)
