"""How long a model folder takes on this machine, backend by backend, beside eager PyTorch in the released order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from candidates import GRAPHS, Settings, plan
from latency_report import header, latency_table, notes, reason_table, report_content
from machine import describe_machine
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.cli.init import make_folder
from mdhr_sdk.cli.parts import engine
from mdhr_sdk.cli.parts.progress import usable_cores
from mdhr_sdk.errors import MDHRError, MissingDependencyError, require
from mdhr_sdk.modelfolder.artefacts import PRECISIONS
from mdhr_sdk.modelfolder.config import FolderConfig
from mdhr_sdk.modelfolder.folder import ModelFolder
from measuring import measure
from report import check_json, console, write_json
from rows import frames_a_run, row

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_MODEL = ROOT / engine.DEFAULT_MODEL
FILES = {"onnx": "onnx", "torchscript": "torchscript.pt"}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def default_folder(graph: str) -> ModelFolder:
    """The folder that is measured when none is named; it and its graphs are made if they are not there.

    A format that cannot be made here is left out, saying why: its backends become rows with a reason.

    Raises:
        MissingDependencyError: there is no folder, and no PyTorch to make one.
    """
    if not DEFAULT_MODEL.exists():
        try:
            for module in ("torch", "timm", "safetensors"):
                require(module, "bench")
        except MissingDependencyError as error:
            remedy = "or name a model folder with graphs in it: python benchmarks/latency.py MODEL"
            raise MissingDependencyError(f"no model was named, and to make one {error}; {remedy}") from None
        console.print(f"{DEFAULT_MODEL} does not exist; making it, untrained (mdhr init)")
        make_folder(DEFAULT_MODEL, "bp4d", "resnet50", 5, 0, False, None)
    folder = ModelFolder.open(DEFAULT_MODEL)
    for format_name, suffix in FILES.items():
        graphs = ["encoder", "head"] if graph == "head" else [graph]
        absent = [name for name in graphs if not folder.has(f"{name}.{suffix}")]
        if absent:
            console.print(f"exporting {', '.join(absent)} to {format_name} (mdhr export); this takes a minute")
            try:
                for module in ("torch", "timm", "safetensors"):
                    require(module, "bench")
                from mdhr_sdk import deploy

                deploy.export_graphs(folder.path, format_name, absent)
            except MissingDependencyError as error:
                console.print(f"not exported: {error}")
    return folder


def macs_a_run(config: FolderConfig, settings: Settings) -> int | None:
    """Multiply-adds of a run, of the released order for 'clip'; None where PyTorch is missing."""
    try:
        for module in ("torch", "timm"):
            require(module, "torch")
    except MissingDependencyError:
        return None
    from mdhr_sdk.model.macs import graph_macs

    return settings.batch * graph_macs(config, settings.base)[""]


@app.command()
def latency(
    model: Annotated[
        Optional[str], typer.Argument(help="A model folder, or edge; an untrained ResNet-50 if not given.")
    ] = None,
    graph: Annotated[str, typer.Option(help=f"{', '.join(GRAPHS)}; of uint8 too where exported.")] = "clip",
    backend: Annotated[Optional[list[str]], typer.Option(help="May be given again; all that can run if not.")] = None,
    precision: Annotated[
        Optional[list[str]], typer.Option(help=f"{', '.join(PRECISIONS)}; may be given again.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    batch: Annotated[int, typer.Option(help="Clips, frames or windows a run.")] = 1,
    threads: Annotated[Optional[int], typer.Option(help="CPU threads; as many as usable cores if not given.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each candidate.")] = 10,
    seconds: Annotated[float, typer.Option(help="Least length of a turn.")] = 0.5,
    json: Annotated[Optional[Path], typer.Option(help="Write everything to this file.")] = None,
) -> None:
    """Latency, speed and memory of every backend that can run a model folder here."""
    threads = usable_cores() if threads is None else threads
    settings = Settings(graph, device, batch, threads, rounds, seconds)
    check_json(json)
    machine = describe_machine()  # before anything loads the machine
    folder = ModelFolder.open(model) if model is not None else default_folder(graph)
    planned = plan(folder, settings, backend or (), precision or ())
    console.print(header(folder, machine, settings))
    macs = macs_a_run(folder.config, settings)
    with console.status("") as status:
        measured = measure(folder, settings, planned, status.update)
    frames = frames_a_run(folder.config, settings)
    found = [row(candidate, measured, settings, frames, macs) for candidate in planned]
    console.print(latency_table(found))
    if any(r.reason is not None for r in found):
        console.print(reason_table(found))
    console.print(notes(measured, settings))
    if json is not None:
        write_json(json, report_content(folder, machine, settings, measured, macs, found))
    if all(r.reason is not None for r in found):
        raise MDHRError("nothing could be measured; the table says why")


if __name__ == "__main__":
    run_app(app)
