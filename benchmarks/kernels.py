"""The compiled kernels beside PyTorch, and beside how fast this machine can copy memory.

    python benchmarks/kernels.py [--threads 2] [--repeats 30] [--json kernels.json]

Everything is measured in turns within one run, so that ratios hold although the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from machine import describe_machine
from mdhr_sdk.ops import DynamicsParameters, DynamicsState, extension_status, fuse_dynamics, fuse_dynamics_step

SCALES, CHANNELS, SIDE, SQUEEZED, K = 4, 2048, 7, 16, 5
Times = dict[str, list[float]]


def measure(ways: Mapping[str, Callable[[], Any]], repeats: int, wait: Callable[[], Any] = lambda: None) -> Times:
    """Seconds of every call; one call of each way after the other, so that all see the same machine."""
    times: Times = {name: [] for name in ways}
    for turn in range(repeats + 2):
        for name, way in ways.items():
            wait()
            start = time.perf_counter()
            way()
            wait()
            if turn > 1:
                times[name].append(time.perf_counter() - start)
    return times


def parameters() -> DynamicsParameters:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return 0.1 * rng.standard_normal(shape, dtype=np.float32)

    squeeze = draw(SCALES, SQUEEZED, CHANNELS) / 5
    shapes = (SCALES, SQUEEZED), (SCALES, SCALES * SQUEEZED), (SCALES,)
    return DynamicsParameters(1 + draw(SCALES, CHANNELS), draw(SCALES, CHANNELS), squeeze, *(draw(*s) for s in shapes))


def eager_chain(maps: list[torch.Tensor], p: DynamicsParameters) -> Callable[[], torch.Tensor]:
    """The layers as the authors released them, from the differences of the projected maps to the weighted sum."""
    norms, squeezes, squeezed_norms = [], [], []
    for level in range(SCALES):
        norm = torch.nn.BatchNorm2d(CHANNELS, eps=0).eval()
        norm.weight.data, norm.bias.data = torch.from_numpy(p.scale[level]), torch.from_numpy(p.shift[level])
        squeeze = torch.nn.Conv2d(CHANNELS, SQUEEZED, 1)
        squeeze.weight.data = torch.from_numpy(p.squeeze[level])[..., None, None]
        assert squeeze.bias is not None
        squeeze.bias.data = torch.from_numpy(p.squeeze_bias[level])
        norms.append(norm)
        squeezes.append(squeeze)
        squeezed_norms.append(torch.nn.BatchNorm2d(SQUEEZED, eps=0).eval())
    weigh = torch.nn.Conv2d(SCALES * SQUEEZED, SCALES, 1)
    assert weigh.bias is not None
    weigh.weight.data, weigh.bias.data = torch.from_numpy(p.weigh)[..., None, None], torch.from_numpy(p.weigh_bias)
    pool = torch.nn.AvgPool3d((2 * K, 1, 1), 1, (K, 0, 0))

    def run() -> torch.Tensor:
        means, squeezed = [], []
        for x, norm, squeeze, squeezed_norm in zip(maps, norms, squeezes, squeezed_norms, strict=True):
            active = F.relu(norm(torch.diff(x, dim=1).flatten(0, 1)), inplace=True).unflatten(0, (x.shape[0], -1))
            mean = pool(active.transpose(1, 2)).transpose(1, 2).contiguous().flatten(0, 1)
            squeezed.append(F.relu(squeezed_norm(squeeze(mean))))
            means.append(mean)
        weights = weigh(torch.cat(squeezed, 1)).softmax(1)
        total = means[0] * weights[:, :1]
        for level in range(1, SCALES):
            total = total + means[level] * weights[:, level : level + 1]
        return total.unflatten(0, maps[0].shape[:2])

    return run


def best_torch(maps: list[torch.Tensor], p: DynamicsParameters) -> Callable[[], torch.Tensor]:
    """What PyTorch can do with matrix products for windows and 1x1 convolutions, and everything else in place."""
    scale, shift, squeeze, squeeze_bias, weigh, weigh_bias = (torch.from_numpy(x) for x in p.arrays().values())
    batch, frames = maps[0].shape[:2]
    t, j = torch.arange(frames)[:, None], torch.arange(frames - 1)
    window = ((j >= t - K) & (j < t + K)).float() / (2 * K)

    def run() -> torch.Tensor:
        means, squeezed = [], []
        for level, x in enumerate(maps):
            active = torch.sub(x[:, 1:], x[:, :-1]).mul_(scale[level, :, None, None]).add_(shift[level, :, None, None])
            mean = (window @ active.relu_().flatten(2)).view(batch, frames, CHANNELS, -1)
            squeezed.append((squeeze[level] @ mean).add_(squeeze_bias[level, :, None]).relu_())
            means.append(mean)
        weights = (weigh @ torch.cat(squeezed, 2)).add_(weigh_bias[:, None]).softmax(2)
        total = means[0] * weights[:, :, :1]
        for level in range(1, SCALES):
            total.addcmul_(means[level], weights[:, :, level : level + 1])
        return total.view(maps[0].shape)

    return run


def dynamics(batch: int, frames: int, repeats: int, threads: int) -> tuple[Times, int]:
    rng, p = np.random.default_rng(1), parameters()
    shape = (batch, frames, CHANNELS, SIDE, SIDE)
    maps = [rng.standard_normal(shape, dtype=np.float32) for _ in range(SCALES)]
    half = [m.astype(np.float16) for m in maps]
    tensors = [torch.from_numpy(m) for m in maps]
    out = np.empty_like(maps[0])
    ways = {
        "eager": eager_chain(tensors, p),
        "torch": best_torch(tensors, p),
        "fused": lambda: fuse_dynamics(maps, p, K, backend="compiled", out=out, threads=threads),
        "fused fp16": lambda: fuse_dynamics(half, p, K, backend="compiled", threads=threads),
    }
    try:
        with torch.no_grad():
            compiled = torch.compile(best_torch(tensors, p))
            compiled()
        ways["torch.compile"] = compiled
    except Exception as error:  # it needs a compiler of its own; the others do not wait for it
        print("torch.compile does not run here:", str(error).splitlines()[0])
    size = maps[0].nbytes * (SCALES + 1)
    source, target = torch.zeros(size // 8), torch.empty(size // 8)
    ways["copy"] = lambda: target.copy_(source)  # as many bytes as the kernel must move: read half, write half
    wanted = ways["eager"]().numpy()
    for name in ("torch", "fused"):
        np.testing.assert_allclose(np.asarray(ways[name]()), wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    return measure(ways, repeats), size


def step(repeats: int, threads: int) -> Times:
    rng, p = np.random.default_rng(1), parameters()
    ways: dict[str, Callable[[], Any]] = {}
    for states in (1, 4):
        rings = [DynamicsState.empty(SCALES, CHANNELS, (SIDE, SIDE), K) for _ in range(states)]
        maps = [rng.standard_normal((states, CHANNELS, SIDE, SIDE), dtype=np.float32) for _ in range(SCALES)]
        for _ in range(2 * K):
            fuse_dynamics_step(maps, rings, p, threads=threads)
        ways[f"step, {states}"] = partial(fuse_dynamics_step, maps, rings, p, threads=threads)
    return measure(ways, repeats)


def show(title: str, times: Times, base: str, size: int | None = None) -> None:
    print(f"\n{title}")
    best = {name: min(values) for name, values in times.items()}
    for name, values in times.items():
        line = f"  {name:18} {best[name] * 1e3:8.2f} ms (median {np.median(values) * 1e3:.2f})"
        states = int(name.removeprefix("step, ")) if name.startswith("step, ") else 1
        line += f", {states * best[base] / best[name]:5.1f} x" + (" a state" if states > 1 else "")
        if size and "copy" in best and name.startswith(("fused", "copy")):
            moved = size // 2 if "fp16" in name else size
            line += (
                f", {moved / best[name] / 1e9:5.1f} GB/s, {moved / size * best['copy'] / best[name]:4.0%} of the copy"
            )
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    about = describe_machine()
    print("\n".join([*about.lines(), *([f"warning: {about.warning}"] if about.warning else [])]))
    print(f"kernels: {extension_status()}; threads: {arguments.threads}")
    with torch.no_grad():
        clip, size = dynamics(arguments.batch, 16, arguments.repeats, arguments.threads)
    show(f"Dynamics of a clip, B = {arguments.batch}, T = 16, C = 2048, k = 5", clip, "eager", size)
    steps = step(arguments.repeats, arguments.threads)
    show("Dynamics, one step of 1 and of 4 states", steps, "step, 1")
    if arguments.json:
        told = {"machine": asdict(about), "kernels": extension_status(), "threads": arguments.threads}
        arguments.json.write_text(json.dumps({**told, "seconds": {**clip, **steps}}, indent=2) + "\n")


if __name__ == "__main__":
    main()
