"""Parameters and multiply-adds of MDHR by module, beside the published figures. Two counters must agree."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.table import Table

from counting import Count, count
from mdhr_sdk.aus import label_set as named_label_set
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import ConfigError, require
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder
from report import check_json, console, write_json

LABEL_SETS, BACKBONES = ("bp4d", "disfa"), ("resnet50", "swin_base")
PAPER = {"resnet50": (91.09, 7.18), "swin_base": (105.94, 15.99)}  # millions of parameters, GMACs a frame
RELEASED_PARAMETERS = {
    ("bp4d", "resnet50"): 93_226_054,
    ("bp4d", "swin_base"): 108_148_926,
    ("disfa", "resnet50"): 91_090_984,
    ("disfa", "swin_base"): 106_013_856,
}
RELEASED_GMACS = {("bp4d", "resnet50"): 7.178}
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


def published(found: Count) -> dict[str, float | None]:
    """Figures of the paper and of the released code; None where there are none."""
    names = (found.label_set, found.backbone)
    paper_parameters, paper_gmacs = PAPER.get(found.backbone, (None, None))
    return {
        "released_parameters": RELEASED_PARAMETERS.get(names),
        "paper_parameters_millions": paper_parameters,
        "released_gmacs_a_frame": RELEASED_GMACS.get(names),
        "paper_gmacs_a_frame": paper_gmacs,
    }


def summary_table(counts: list[Count]) -> Table:
    """Every model beside what is published of it."""
    heads = (
        *("parameters", "released code", "paper, M", "GMACs a frame", "fvcore", "difference"),
        *("without attention products", "released code", "paper"),
    )
    table = Table("model", *heads, title="beside the published figures", title_justify="left")
    for found in counts:
        released, paper_m, released_gmacs, paper_gmacs = published(found).values()
        clip = found.total.clip_macs_a_frame
        table.add_row(
            f"{found.label_set} {found.backbone}",
            *(f"{found.total.parameters:,}", "" if released is None else f"{released:,}", str(paper_m or "")),
            *(f"{clip / 1e9:.3f}", f"{found.total.fvcore_clip_macs_a_frame / 1e9:.3f}", f"{found.difference:.0e}"),
            f"{(clip - found.attention_macs_a_frame) / 1e9:.3f}",
            *(str(released_gmacs or ""), str(paper_gmacs or "")),
        )
    return table


@app.command()
def flops(
    model: Annotated[Optional[Path], typer.Argument(help="A model folder; without it the models of the paper.")] = None,
    label_set: Annotated[Optional[str], typer.Option(help="bp4d or disfa; both if not given.")] = None,
    backbone: Annotated[Optional[str], typer.Option(help="A backbone; resnet50 and swin_base if not given.")] = None,
    clip_length: Annotated[Optional[int], typer.Option(help="T, frames a clip; 16 if not given.")] = None,
    json: Annotated[Optional[Path], typer.Option(help="Write the counts to this file.")] = None,
) -> None:
    """Parameters and multiply-adds a frame by module; exit code 1 when the two counters disagree."""
    configs = configurations(model, label_set, backbone, clip_length)
    check_json(json)
    for module in ("torch", "timm", "fvcore"):
        require(module, "bench")
    counts = []
    for config in configs:
        counts.append(count(config))
        console.print(module_table(counts[-1]))
    console.print(summary_table(counts))
    console.print(NOTE)
    console.print(f"Difference of the counters: the largest of the three graphs, relative; tolerated: {TOLERANCE:g}.")
    if json is not None:
        models = [{**asdict(found), "published": published(found)} for found in counts]
        write_json(json, {"benchmark": "flops", "tolerance_relative": TOLERANCE, "models": models})
    apart = [f"{c.label_set} {c.backbone} {c.difference:.1e}" for c in counts if not c.difference <= TOLERANCE]
    if apart:
        print(f"error: the counters differ by more than {TOLERANCE:g}: {', '.join(apart)}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    run_app(app)
