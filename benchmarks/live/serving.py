"""What the served page costs the scoring: delays and processor time of a live source with no, one and many clients."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.request import urlopen

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

import mdhr_sdk
from benchmarks.machine import describe_machine
from benchmarks.report import Json, console, write_json
from mdhr_sdk import AUDetector, list_sources
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.outputs.serve import ServeSink

FPS, LOOKAHEAD = 25, 2
DEMO = Path(mdhr_sdk.__file__).parent / "assets" / "demo.mp4"
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Case:
    """Who looks on: `listeners` take all results, `pages` the pictures too, as a browser does."""

    name: str
    served: bool = True
    listeners: int = 0
    pages: int = 0


@dataclass(frozen=True)
class Cost:
    """What a case took.

    Attributes:
        delay_p50_ms, delay_p99_ms: from a frame's arrival to its result, lookahead included.
        write_p99_us: of handing a result to the page.
        cpu_ms: processor time a frame of the whole process: scoring, and serving.
        dropped: clients that were too slow.
        received: messages that a client got, on average.
    """

    name: str
    frames: int
    delay_p50_ms: float
    delay_p99_ms: float
    write_p99_us: float
    cpu_ms: float
    dropped: int
    received: float


def look_on(port: int, listeners: int, pages: int, counts: Any) -> None:
    """The clients, in a process of their own, until it is ended."""
    from websockets.asyncio.client import connect

    async def listen() -> None:
        async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None, compression=None) as socket:
            counts[0] += 1
            async for _ in socket:
                counts[1] += 1

    async def watch() -> None:
        async with connect(f"ws://127.0.0.1:{port}/frames?source=demo", proxy=None, compression=None) as socket:
            async for _ in socket:
                await socket.send("next")

    async def all_of_them() -> None:
        await asyncio.gather(*(listen() for _ in range(listeners + pages)), *(watch() for _ in range(pages)))

    asyncio.run(all_of_them())


@contextmanager
def clients(sink: ServeSink, case: Case) -> Iterator[Any]:
    """The clients of a case; gives how many are there, and how many messages they got."""
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", 2)
    process = context.Process(target=look_on, args=(sink.port, case.listeners, case.pages, counts), daemon=True)
    process.start()
    try:
        while counts[0] < case.listeners + case.pages:
            time.sleep(0.05)
        yield counts
    finally:
        process.terminate()
        process.join()


def measure(detector: AUDetector, frames: list[NDArray[np.uint8]], case: Case, seconds: float) -> Cost:
    """Score the frames as if a camera gave them, and time it."""
    arrived: list[float] = []

    def camera() -> Iterator[NDArray[np.uint8]]:
        begin = time.monotonic()
        for index in range(int(seconds * FPS)):
            time.sleep(max(0.0, begin + index / FPS - time.monotonic()))
            arrived.append(time.monotonic())
            yield frames[index % len(frames)]

    delays, writes, dropped, received = [], [0.0], 0, 0.0
    with ExitStack() as stack:
        sink = stack.enter_context(ServeSink(port=0)) if case.served else None
        looking = stack.enter_context(clients(sink, case)) if sink and case.listeners + case.pages else None
        begin_s = time.process_time()
        for result in detector.stream(camera(), LOOKAHEAD, fps=FPS, images=True):
            delays.append(time.monotonic() - arrived[result.index])
            if sink is not None:
                before = time.perf_counter()
                sink.write(result)
                writes.append(time.perf_counter() - before)
        cpu_s = time.process_time() - begin_s
        if sink is not None and looking is not None:
            time.sleep(0.5)  # for what is on its way
            dropped = too_slow(sink)
            received = looking[1] / looking[0]
    p50, p99 = np.percentile(delays, (50, 99)) * 1e3
    write_us = float(np.percentile(writes, 99)) * 1e6
    return Cost(case.name, len(delays), p50, p99, write_us, cpu_s / len(delays) * 1e3, dropped, received)


def too_slow(sink: ServeSink) -> int:
    """How many clients the page has dropped."""
    with urlopen(f"{sink.url}metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("mdhr_clients_dropped_total"))


@app.command()
def serving(
    model: Annotated[str, typer.Option(help="Model folder, or edge.")] = "edge",
    many: Annotated[int, typer.Option(min=1, max=400, help="Clients of the last row.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="How long each row is measured.")] = 20,
    json: Json = None,
) -> None:
    """Measure what clients of the served page cost."""
    cases = (
        Case("no page", False),
        Case("nobody looks on"),
        Case("one page", pages=1),
        Case(f"{many}", listeners=many),
    )
    machine = describe_machine()
    with list_sources(DEMO)[0] as source:
        frames = [frame.image for frame in source]
    with AUDetector.from_pretrained(model, mode="stream", max_faces=1, threads=1) as detector:
        measure(detector, frames, cases[0], 1)  # to warm up
        costs = [measure(detector, frames, case, seconds) for case in cases]
    words = ("delay p50 ms", "p99", "write p99 µs", "CPU ms a frame", "dropped", "messages a client")
    table = Table(
        "clients", "frames", *words, caption=f"{FPS} frames/s, lookahead {LOOKAHEAD}: {1e3 * LOOKAHEAD / FPS:g} ms"
    )
    for cost in costs:
        told = (cost.delay_p50_ms, cost.delay_p99_ms, cost.write_p99_us, cost.cpu_ms)
        figures = [f"{value:.1f}" for value in told]
        table.add_row(cost.name, f"{cost.frames}", *figures, f"{cost.dropped}", f"{cost.received:.0f}")
    console.print(machine.header())
    console.print(table)
    write_json(json, {"machine": asdict(machine), "seconds": seconds, "costs": [asdict(cost) for cost in costs]})


if __name__ == "__main__":
    run_app(app)
