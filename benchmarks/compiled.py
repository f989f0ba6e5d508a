"""What PyTorch's own compilers make of the clip graph: TorchScript and AOTInductor, as CUDA graphs on a GPU.

python benchmarks/compiled.py models/mine --device cuda --precision fp16

Each is held against the weights in fp32, and timed in turns beside them. It runs on a CPU too (AOTInductor needs g++).
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.table import Table
from torch import Tensor, nn

from candidates import Settings
from latency_report import header
from machine import describe_machine, usable_cores
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.deploy import LIMITS, export_view
from mdhr_sdk.deploy.export.half import half_view
from mdhr_sdk.deploy.parity.footage import as_input, demo_clips
from mdhr_sdk.errors import BackendError
from mdhr_sdk.model import load_model
from mdhr_sdk.model.graphs import build_graph
from mdhr_sdk.modelfolder.folder import ModelFolder
from report import console

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
Run = Callable[[], Tensor]  # -> scores (B, T, N)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def torchscript(module: nn.Module, clip: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A frozen trace, optimised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = torch.jit.freeze(torch.jit.trace(module, (clip,), check_trace=False))
        return frozen if clip.is_cuda else torch.jit.optimize_for_inference(frozen)


def aotinductor(module: nn.Module, clip: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A compiled package of the graph, for this batch.

    Raises:
        BackendError: this machine cannot compile it, as without g++.
    """
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import InvalidCxxCompiler

    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "clip.pt2")
        try:
            torch._inductor.aoti_compile_and_package(torch.export.export(module, (clip,)), package_path=path)
        except (BackendCompilerFailed, InvalidCxxCompiler) as error:
            raise BackendError(" ".join(str(error).split())[:200]) from None
        return torch._inductor.aoti_load_package(path)


def as_cuda_graph(function: Callable[[Tensor], tuple[Tensor, ...]], clip: Tensor) -> Run:
    """One launch instead of hundreds; the input stays where it is."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # what is put off until the first runs must not be captured
            function(clip)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        scores = function(clip)[0]

    def run() -> Tensor:
        graph.replay()
        return scores

    return run


def runs(folder: ModelFolder, precision: str, clip: Tensor) -> tuple[dict[str, Run], dict[str, str]]:
    """Name -> what is timed; the first is the reference, the weights in fp32 in eager PyTorch.

    And name -> why it cannot be made here.
    """
    model = load_model(folder)
    view = export_view(model, folder.config.clip_length)
    view = half_view(view, cached=False) if precision == "fp16" else view
    module = build_graph(view, folder.config.preprocessing, "clip", DTYPES[precision]).to(clip.device)
    found: dict[str, Run] = {"eager fp32, as the weights": lambda: reference(clip).scores}
    reference = model.to(clip.device)
    missing: dict[str, str] = {}
    for name, compile_it in (("TorchScript", torchscript), ("AOTInductor", aotinductor)):
        try:
            function = compile_it(module, clip)
        except BackendError as error:
            missing[f"{name} {precision}"] = str(error)
            continue
        found[f"{name} {precision}"] = lambda function=function: function(clip)[0]  # type: ignore[misc]
        if clip.is_cuda:
            found[f"{name} {precision}, CUDA graph"] = as_cuda_graph(function, clip)
    return found, missing


def timed_ms(run: Run, cuda: bool) -> float:
    """One run to its end, in milliseconds."""
    start = time.perf_counter()
    run()
    if cuda:
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


@app.command()
def compiled(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    precision: Annotated[str, typer.Option(help="fp32 or fp16.")] = "fp32",
    batch: Annotated[int, typer.Option(help="Clips a run.")] = 1,
    rounds: Annotated[int, typer.Option(help="Runs of each, in turns.")] = 20,
) -> None:
    """TorchScript and AOTInductor beside the weights: milliseconds and score differences; exit code 2 beyond limits."""
    settings = Settings("clip", device, batch, usable_cores(), rounds, turn_s=0)
    if precision not in DTYPES:
        raise BackendError(f"unknown precision '{precision}'; expected one of {', '.join(DTYPES)}")
    if device != "cpu" and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise BackendError(f"device '{device}' was asked for and torch finds {torch.cuda.device_count()} CUDA devices")
    folder = ModelFolder.open(model)
    console.print(header(folder, describe_machine(), settings))
    torch.set_num_threads(settings.threads)
    torch.backends.cudnn.allow_tf32 = False  # the reference is to be fp32
    crops = demo_clips(folder.config)
    clip = torch.from_numpy(as_input(crops[np.arange(batch) % len(crops)], folder.config)).to(device)
    with torch.inference_mode():
        found, missing = runs(folder, precision, clip)
        scores = {name: run().float().cpu() for name, run in found.items()}
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, run in found.items():
                times[name].append(timed_ms(run, clip.is_cuda))
    if missing:
        console.print(reasons(missing))
    report(scores, times, precision)


def reasons(missing: dict[str, str]) -> Table:
    """What could not be made here."""
    table = Table("not measured", "reason")
    for name, reason in missing.items():
        table.add_row(name, reason)
    return table


def report(scores: dict[str, Tensor], times: dict[str, list[float]], precision: str) -> None:
    """Print the table.

    Raises:
        BackendError: one differs from the weights by more than its precision may cost.
    """
    first = next(iter(scores))
    table = Table("clip graph", "p50 ms", "p99 ms", "times as fast", "mean |Δscore|", "max")
    broken = []
    for name, taken in times.items():
        error = (scores[name] - scores[first]).abs()
        ratio = np.median(np.array(times[first]) / np.array(taken))
        p50, p99 = np.percentile(taken, (50, 99))
        table.add_row(name, f"{p50:.2f}", f"{p99:.2f}", f"{ratio:.2f}", f"{error.mean():.1e}", f"{error.max():.1e}")
        if not error.mean() <= LIMITS[precision].mean_score or not error.max() <= LIMITS[precision].max_score:
            broken.append(name)
    console.print(table)
    if broken:
        raise BackendError(f"{', '.join(broken)} differ from the weights by more than {precision} may cost")


if __name__ == "__main__":
    run_app(app)
