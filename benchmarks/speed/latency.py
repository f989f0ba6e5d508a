"""How long a model folder takes on this machine, backend by backend, beside eager PyTorch in the released order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from benchmarks.machine import describe_machine
from benchmarks.report import check_json, console, write_json
from benchmarks.speed.candidates import GRAPHS, Settings, plan
from benchmarks.speed.endtoend.run import NOTES, content, tables, usable_engines
from benchmarks.speed.endtoend.run import measure as measure_whole
from benchmarks.speed.latency_report import header, latency_table, notes, reason_table, report_content
from benchmarks.speed.measuring import LEAST_ROUNDS, measure
from benchmarks.speed.rows import frames_a_run, row
from mdhr_sdk.children import usable_cores
from mdhr_sdk.errors import MDHRError, MissingDependencyError, require
from mdhr_sdk.modelfolder.artefacts import PRECISIONS
from mdhr_sdk.modelfolder.config import FolderConfig
from mdhr_sdk.modelfolder.folder import ModelFolder

SLOW_HALVES = (
    "fp16 on a CPU is slower than fp32: halves are cast or emulated there. What fp16 gains shows on a GPU; by how much "
    "its scores differ shows here too"
)

ROUNDS, WHOLE_ROUNDS = 10, 3

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def macs_a_run(config: FolderConfig, settings: Settings) -> int | None:
    """Multiply-adds of a run, of the released order for 'clip'; None where PyTorch is missing."""
    try:
        for module in ("torch", "timm"):
            require(module, "torch")
    except MissingDependencyError:
        return None
    from mdhr_sdk.model.macs import graph_macs

    return settings.batch * graph_macs(config, settings.base)[""]


def whole(asked: Sequence[str], frames: int, rounds: int, json: Path | None) -> None:
    """Measure videos from file to action units, by each of the face engines that can run here."""
    check_json(json)
    machine, engines = describe_machine(), usable_engines(asked)
    console.print(machine.header())
    for name, reason in engines.items():
        if reason:
            console.print(f"not measured: {name}: {reason}")
    usable = [name for name, reason in engines.items() if not reason]
    if not usable:
        raise MDHRError("no face engine can run here; the lines above say why")
    with console.status("") as status:
        tell = status.update if console.is_terminal else partial(print, file=sys.stderr, flush=True)
        measured = measure_whole(usable, frames, rounds, tell)
    for table in tables(measured):
        console.print(table)
    console.print(NOTES)
    write_json(json, content(machine, measured, engines))


def backends(
    folder: ModelFolder, settings: Settings, backend: Sequence[str], precision: Sequence[str], json: Path | None
) -> None:
    """Measure a model folder in every backend that can run here."""
    check_json(json)
    machine = describe_machine()  # before anything loads the machine
    planned = plan(folder, settings, backend, precision)
    console.print(header(folder, machine, settings))
    if settings.device == "cpu" and any(c.precision == "fp16" and reason is None for c, reason in planned.items()):
        console.print(f"note: {SLOW_HALVES}")
    macs = macs_a_run(folder.config, settings)
    with console.status("") as status:  # which shows on a terminal only
        tell = status.update if console.is_terminal else partial(print, file=sys.stderr, flush=True)
        measured = measure(folder, settings, planned, tell)
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


@app.command()
def latency(
    model: Annotated[str, typer.Argument(help="A model folder, or edge.")] = "edge",
    graph: Annotated[str, typer.Option(help=f"{', '.join(GRAPHS)}; of uint8 too where exported.")] = "clip",
    backend: Annotated[Optional[list[str]], typer.Option(help="May be given again; all that can run if not.")] = None,
    precision: Annotated[
        Optional[list[str]], typer.Option(help=f"{', '.join(PRECISIONS)}; may be given again.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    batch: Annotated[int, typer.Option(help="Clips, frames or windows a run.")] = 1,
    threads: Annotated[Optional[int], typer.Option(help="CPU threads; as many as usable cores if not given.")] = None,
    rounds: Annotated[
        Optional[int], typer.Option(help="Turns of each candidate: 10, with --end-to-end 3 if not given.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Least length of a turn.")] = 0.5,
    most_seconds: Annotated[
        float, typer.Option(help=f"Take no more turns after so long, but {LEAST_ROUNDS} rounds at least.")
    ] = Settings.most_s,
    json: Annotated[Optional[Path], typer.Option(help="Write everything to this file.")] = None,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Videos from file to action units instead, by every face engine.")
    ] = False,
    engine: Annotated[
        Optional[list[str]], typer.Option(help="With --end-to-end: a face engine; all that can run if not given.")
    ] = None,
    frames: Annotated[int, typer.Option(min=60, help="With --end-to-end: frames of the first video.")] = 400,
) -> None:
    """Latency, speed and memory of every backend that can run a model folder here."""
    rounds = (WHOLE_ROUNDS if end_to_end else ROUNDS) if rounds is None else rounds
    threads = usable_cores() if threads is None else threads
    settings = Settings(graph, device, batch, threads, rounds, seconds, most_seconds)
    if end_to_end:
        whole(engine or (), frames, rounds, json)
        return
    backends(ModelFolder.open(model), settings, backend or (), precision or (), json)
