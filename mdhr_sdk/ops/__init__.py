"""The costly array work outside of the network's matrices: temporal dynamics.

Each function has a readable reference in NumPy (`reference`) and a compiled kernel (`csrc/`), chosen by `backend`:
'compiled', 'reference', or 'auto', which takes the kernel where it was built. Importing this loads neither.
"""

from __future__ import annotations

from .dynamics import DynamicsParameters, fuse_dynamics
from .extension import extension_status, has_cuda_kernels
from .step import DynamicsState, fuse_dynamics_step
from .views import DeviceArray

__all__ = [
    "DeviceArray",
    "DynamicsParameters",
    "DynamicsState",
    "extension_status",
    "fuse_dynamics",
    "fuse_dynamics_step",
    "has_cuda_kernels",
]
