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
from .extension import OLDEST_CUDA, choose, has_cuda_kernels

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
        out = torch.empty(maps[0].shape, dtype=maps[0].dtype, device=maps[0].device)
        stream = torch.cuda.current_stream(out.device).cuda_stream if out.is_cuda else 0
        parameters = DynamicsParameters(*(array.detach().contiguous() for array in arrays))
        threads = None if out.is_cuda else torch.get_num_threads()
        fuse_dynamics([m.detach().contiguous() for m in maps], parameters, k, out=out, stream=stream, threads=threads)
        return out

    def fake(maps: Sequence[Any], *_: Any) -> Any:
        return torch.empty(maps[0].shape, dtype=maps[0].dtype, device=maps[0].device)

    operator = torch.library.custom_op(NAME, run, mutates_args=(), schema=SCHEMA)
    operator.register_fake(fake)
    return torch.ops.mdhr.fuse_dynamics.default


def usable(device_type: str, index: int | None = None) -> bool:
    """Whether the compiled kernel can run on tensors of this device, 'cpu' or 'cuda' and its number."""
    extension = choose("auto")
    if extension is None or device_type == "cpu":
        return extension is not None
    if device_type != "cuda" or not has_cuda_kernels():
        return False
    return bool(require("torch", "torch").cuda.get_device_capability(index) >= OLDEST_CUDA)
