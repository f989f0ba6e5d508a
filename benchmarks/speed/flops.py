"""Parameters and multiply-adds of MDHR by module, beside the published figures. Two counters must agree."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.table import Table

from benchmarks.report import Json, console, write_json
from benchmarks.speed.counting import Count, count
from mdhr_sdk.aus import label_set as named_label_set
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import ConfigError, require
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder

LABEL_SETS, BACKBONES = ("bp4d", "disfa"), ("resnet50", "swin_base")
PAPER = {"resnet50": (91.09, 7.18), "swin_base": (105.94, 15.99)}  # millions of parameters, GMACs a frame
TOLERANCE = 1e-4  # relative; the two agree to the last multiply-add with the versions this was written for
NOTE = (
    "Counted are convolutions, linear layers and matrix products; not elementwise work, norms, pooling, softmax "
    "and the cosine of the scores. forward: a clip in the released order, over its T frames. head(encode(clip)): every "
    "frame projected once, over T. Streamed: a frame encoded once and the head run on its window of T. "
    "The paper's parameters are those of DISFA, its GMACs those of BP4D; its 15.99 for Swin-B is what is left without "
    "the two products of attention, which many counters miss (our reading; the paper names no counter)."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def configurations(
    folder: Path | None, label_set: str | None, backbone: str | None, clip_length: int | None
) -> list[FolderConfig]:
    """What was asked for: a folder's model, or label sets and backbones, both of the paper where not named.

    Raises:
        ConfigError: an unknown name, a folder together with names, or a clip length below 1.
        ModelFolderError: no such folder.
    """
    if folder is not None:
        if label_set or backbone or clip_length:
            raise ConfigError("a model folder says its own label set, backbone and T; give the folder or the options")
        return [ModelFolder.open(folder).config]
    return [
        FolderConfig(
            ModelConfig(named_label_set(labels), network), clip_length=16 if clip_length is None else clip_length
        )
        for network in ([backbone] if backbone else BACKBONES)
        for labels in ([label_set] if label_set else LABEL_SETS)
    ]


def module_table(found: Count) -> Table:
    """Every module of one model, in millions of parameters and GMACs a frame."""
    title = f"{found.label_set} {found.backbone}, T = {found.clip_length}"
    heads = ("parameters, M", "forward", "forward, fvcore", "head(encode(clip))", "streamed: encoder + head of T")
    table = Table("GMACs a frame", *heads, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in (*found.modules, found.total):
        if row is found.total:
            table.add_section()
        _, parameters, *macs = vars(row).values()
        table.add_row(row.module, f"{parameters / 1e6:.3f}", *(f"{m / 1e9:.4f}" for m in macs))
    return table


def summary(found: Count) -> str:
    """What the paper gives beside what was counted, and how far the counters are apart."""
    parameters, gmacs = PAPER.get(found.backbone, ("-", "-"))
    clip = found.total.clip_macs_a_frame
    return (
        f"{found.total.parameters:,} parameters, {clip / 1e9:.3f} GMACs a frame, "
        f"{(clip - found.attention_macs_a_frame) / 1e9:.3f} without the products of attention; "
        f"the paper: {parameters} M, {gmacs}; the counters differ by {found.difference:.0e}"
    )


@app.command()
def flops(
    model: Annotated[Optional[Path], typer.Argument(help="A model folder; without it the models of the paper.")] = None,
    label_set: Annotated[Optional[str], typer.Option(help="bp4d or disfa; both if not given.")] = None,
    backbone: Annotated[Optional[str], typer.Option(help="A backbone; resnet50 and swin_base if not given.")] = None,
    clip_length: Annotated[Optional[int], typer.Option(help="T, frames per clip; 16 if not given.")] = None,
    json: Json = None,
) -> None:
    """Parameters and multiply-adds a frame by module; exit code 1 when the two counters disagree."""
    configs = configurations(model, label_set, backbone, clip_length)
    for module in ("torch", "timm", "fvcore"):
        require(module, "bench")
    counts = []
    for config in configs:
        counts.append(count(config))
        console.print(module_table(counts[-1]))
        console.print(summary(counts[-1]))
    console.print(NOTE)
    console.print(f"Difference of the counters: the largest of the three graphs, relative; tolerated: {TOLERANCE:g}.")
    models = [asdict(found) for found in counts]
    write_json(json, {"benchmark": "flops", "tolerance_relative": TOLERANCE, "models": models})
    apart = [f"{c.label_set} {c.backbone} {c.difference:.1e}" for c in counts if not c.difference <= TOLERANCE]
    if apart:
        print(f"error: the counters differ by more than {TOLERANCE:g}: {', '.join(apart)}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    run_app(app)
