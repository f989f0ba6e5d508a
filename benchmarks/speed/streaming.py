"""How long a frame takes when every frame is encoded once, beside what a window costs that is run anew each time."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Optional

import numpy as np
import typer
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.report import Backends, Json, Precisions, Threads, console, write_json
from benchmarks.speed.candidates import BASELINE, Candidate, Settings, runnable
from benchmarks.speed.measuring import SETTLE_S
from benchmarks.speed.workers import Worker, WorkerError
from mdhr_sdk.children import usable_cores
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.cli.models.init import demo_clip
from mdhr_sdk.errors import BackendError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime.stream.scorer import default_lookahead

PARTS = ("stream", "encoder", "clip")  # of every candidate: a step, its encoder alone, the window run anew

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Row:
    """One backend in one precision; milliseconds are medians over all runs of all turns.

    Attributes:
        step_ms: one new frame of every face, encoded and scored.
        encoder_ms: its encoder alone, in a process of its own.
        after_share: what comes after the encoder, of a step.
        clip_ms: the clip graph on the window, for one face.
        x_released, x_clip: how many steps of one face fit into the released order's run of the window, and into this
            backend's own: medians over rounds of the ratio of a round's medians.
        stream_mb: memory of one face's ring, in 10**6 bytes.
    """

    backend: str
    precision: str
    step_ms: float
    step_p90_ms: float
    encoder_ms: float
    after_share: float
    clip_ms: float | None
    x_released: float
    x_clip: float | None
    stream_mb: float


def requests(
    folder: ModelFolder, chosen: list[Candidate], settings: Settings, lookahead: int, faces: int, scratch: Path
) -> dict[tuple[Candidate, str], dict[str, Any]]:
    """What every worker is told; one a candidate and part, and the baseline's window."""
    length = folder.config.clip_length
    demo = demo_clip(folder.config.model.input_size_px)[0][: 2 * length]
    np.savez(scratch / "clip.npz", clip=demo[None, :length])
    np.savez(scratch / "encoder.npz", frames=np.repeat(demo[:1], faces, axis=0))
    np.savez(scratch / "stream.npz", frames=demo)
    common = {"folder": str(folder.path), "device": settings.device, "threads": settings.threads}
    common |= {"lookahead": lookahead, "faces": faces}
    made = {}
    for candidate in (BASELINE, *chosen):
        own = {**common, "backend": candidate.backend, "precision": candidate.precision}
        for part in ("clip",) if candidate == BASELINE else PARTS:
            job = "stream" if part == "stream" else "session"
            made[candidate, part] = {**own, "graph": part, "job": job, "inputs": str(scratch / f"{part}.npz")}
    return made


def measure(asked: dict[tuple[Candidate, str], dict[str, Any]], rounds: int, seconds: float) -> tuple[Any, Any]:
    """Answers of the loaded workers, and milliseconds of every run, turn by turn; those that fail are left out."""
    ready: dict[Any, Any] = {}
    turns: dict[Any, list[list[float]]] = {}
    with ExitStack() as alive, console.status("") as status:
        workers = {}
        for key, request in asked.items():
            status.update(f"loading {key[0]}, {key[1]}")
            worker = alive.enter_context(Worker(request))
            try:
                ready[key] = worker.ready()
            except WorkerError as error:
                console.print(f"not measured: {key[0]}, {key[1]}: {error}")
                continue
            workers[key], turns[key] = worker, []
        order = list(workers)
        for index in range(rounds):
            status.update(f"round {index + 1} of {rounds}")
            for key in order[index % len(order) :] + order[: index % len(order)]:
                time.sleep(SETTLE_S)
                turns[key].append(workers[key].turn(seconds)["latencies_ms"])
    return ready, turns


def row(candidate: Candidate, ready: dict[Any, Any], turns: dict[Any, list[list[float]]], faces: int) -> Row:
    """The figures of one candidate."""

    def mid(part: str) -> float | None:
        return median(np.concatenate(turns[candidate, part])) if (candidate, part) in turns else None

    def ratio(of: list[list[float]] | None) -> float | None:
        steps = turns[candidate, "stream"]
        return None if of is None else faces * median(median(a) / median(b) for a, b in zip(of, steps, strict=True))

    step, encoder = mid("stream"), mid("encoder")
    assert step is not None and encoder is not None
    x_released = ratio(turns[BASELINE, "clip"])
    assert x_released is not None
    return Row(
        candidate.backend,
        candidate.precision,
        step,
        float(np.percentile(np.concatenate(turns[candidate, "stream"]), 90)),
        encoder,
        max(0.0, 1 - encoder / step),
        mid("clip"),
        x_released,
        ratio(turns.get((candidate, "clip"))),
        ready[candidate, "stream"]["stream_bytes"] / 1e6,
    )


def table(rows: list[Row]) -> Table:
    names = ("backend", "precision", "step ms", "p90", "encoder ms", "after it", "window ms", "x released", "x window")
    found = Table(*names, "MB per face")
    for one in rows:
        window = ("", "") if one.clip_ms is None else (f"{one.clip_ms:.0f}", f"{one.x_clip:.1f}")
        figures = (f"{one.step_ms:.1f}", f"{one.step_p90_ms:.1f}", f"{one.encoder_ms:.1f}", f"{one.after_share:.0%}")
        found.add_row(
            one.backend, one.precision, *figures, window[0], f"{one.x_released:.1f}", window[1], f"{one.stream_mb:.1f}"
        )
    return found


@app.command()
def streaming(
    model: Annotated[Path, typer.Argument(help="A model folder with its graphs exported (mdhr export).")],
    backend: Backends = None,
    precision: Precisions = None,
    lookahead: Annotated[
        Optional[int], typer.Option(help="Frames; the least without edge effects if not given.")
    ] = None,
    faces: Annotated[int, typer.Option(min=1, help="Faces a step.")] = 1,
    device: Annotated[str, typer.Option(help="'cpu', 'cuda' or 'cuda:1', also of the baseline.")] = "cpu",
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 7,
    seconds: Annotated[float, typer.Option(help="Least length of a turn.")] = 0.5,
    json: Json = None,
) -> None:
    """A step of streaming beside the window in eager PyTorch as released, and in the same backend."""
    machine, folder = describe_machine(), ModelFolder.open(model)
    threads = usable_cores() if threads is None else threads
    lookahead = default_lookahead(folder.config) if lookahead is None else lookahead
    settings = Settings("encoder", device, threads=threads, rounds=rounds, turn_s=seconds)
    chosen = runnable(folder, settings, backend or (), precision or ())
    console.print(machine.header())
    console.print(
        f"{folder.path}: T = {folder.config.clip_length}, lookahead {lookahead}, faces {faces}, "
        f"device {device}, threads {threads}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        asked = requests(folder, chosen, settings, lookahead, faces, Path(scratch))
        ready, turns = measure(asked, rounds, seconds)
    if (BASELINE, "clip") not in turns:
        raise BackendError("the baseline needs PyTorch: pip install 'mdhr-sdk[torch]'")
    rows = [row(one, ready, turns, faces) for one in chosen if {(one, "stream"), (one, "encoder")} <= set(turns)]
    released = median(np.concatenate(turns[BASELINE, "clip"]))
    console.print(table(rows))
    console.print(f"released: eager PyTorch in the released order on the window of T frames, {released:.0f} ms a face")
    for place in dict.fromkeys(ready[one, "stream"]["place"] for one in chosen if (one, "stream") in turns):
        console.print(f"rings on {place}")
    content = {"machine": asdict(machine), "lookahead": lookahead, "faces": faces, "threads": threads, "device": device}
    write_json(json, {**content, "released_ms": released, "rows": [asdict(one) for one in rows]})


if __name__ == "__main__":
    run_app(app)
