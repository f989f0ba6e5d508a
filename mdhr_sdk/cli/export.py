"""What `mdhr export` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..errors import require
from .options import MODEL, command_app, say

app = command_app()


def run_export(
    model: str | Path, kind: str, graphs: Sequence[str], precision: str, calibrate: str | None
) -> Iterator[str]:
    """Export, and say of each file as soon as it is kept how large it is and how it compares with the weights."""
    for module in ("torch", "timm", "safetensors"):
        require(module, "export")
    from ..deploy import export_each

    for path, report in export_each(model, kind, graphs, precision, calibrate):
        yield f"{path}: {path.stat().st_size / 1e6:.1f} MB; {report}"


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
) -> None:
    """Write graphs into a model folder.

    Each is kept only if it answers like the weights.
    """
    for line in run_export(model, format.value, graph or [], precision, calibrate):
        say(line)
