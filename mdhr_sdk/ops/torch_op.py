"""The fused dynamics as an operator of PyTorch, for eager inference and `torch.compile`.

`register()` defines `torch.ops.mdhr.fuse_dynamics`; nothing here imports torch before that. Exporters never see it:
they trace the standard operators of `mdhr_sdk.model.dynamics`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..errors import require
from .dynamics import DynamicsParameters, fuse_dynamics
from .extension import choose

NAME = "mdhr::fuse_dynamics"
SCHEMA = (
    "(Tensor[] maps, Tensor scale, Tensor shift, Tensor squeeze, Tensor squeeze_bias, Tensor weigh, "
    "Tensor weigh_bias, int k) -> Tensor"
)


@functools.cache
def register() -> Any:
    """Define the operator once, and give it: (L maps (B, T, C, h, w), the fields of `DynamicsParameters`, k).

    It runs the compiled kernel where that was built, else the reference; on CUDA on the current stream. It has no
    gradient.

    Raises:
        MissingDependencyError: PyTorch is not installed.
    """
    torch = require("torch", "torch")

    def run(maps: Sequence[Any], *arguments: Any) -> Any:
        *arrays, k = arguments
        out = _like(torch, maps[0])
        stream = torch.cuda.current_stream(out.device).cuda_stream if out.is_cuda else 0
        parameters = DynamicsParameters(*(array.detach().contiguous() for array in arrays))
        threads = None if out.is_cuda else torch.get_num_threads()
        fuse_dynamics([m.detach() for m in maps], parameters, k, out=out, stream=stream, threads=threads)
        return out

    def fake(maps: Sequence[Any], *_: Any) -> Any:
        return _like(torch, maps[0])

    operator = torch.library.custom_op(NAME, run, mutates_args=(), schema=SCHEMA)
    operator.register_fake(fake)
    return torch.ops.mdhr.fuse_dynamics.default


def usable(device_type: str) -> bool:
    """Whether the compiled kernel can run on tensors of this device type, 'cpu' or 'cuda'."""
    extension = choose("auto")
    if extension is None or device_type == "cpu":
        return extension is not None
    cuda = require("torch", "torch").cuda
    # 8.0 is the oldest that setup.py builds for
    return bool(extension.cuda and cuda.is_available() and cuda.get_device_capability() >= (8, 0))


def _like(torch: Any, one: Any) -> Any:
    """An empty result in the layout that the kernel gives for such maps."""
    batch, frames, channels, height, width = one.shape
    last = one[0, 0].is_contiguous() is False and one[0, 0].movedim(0, -1).is_contiguous()
    if not last:
        return torch.empty(one.shape, dtype=one.dtype, device=one.device)
    shape = (batch, frames, height, width, channels)
    return torch.empty(shape, dtype=one.dtype, device=one.device).movedim(-1, 2)
