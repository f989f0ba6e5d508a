"""BatchNorm statistics from clips, for untrained weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _BatchNorm

from .mdhr import MDHR


@torch.no_grad()
def calibrate(model: MDHR, clip: NDArray[np.float32], skip_backbone: bool = False) -> None:
    """Set every BatchNorm's running statistics to those of `clip`, and leave the model in evaluation mode.

    Args:
        clip: (B, T, 3, S, S) float32, normalised RGB, T >= 2.
        skip_backbone: keep the backbone's statistics, as for pretrained weights.
    """
    model.eval()
    norms = [module for module in (model.head if skip_backbone else model).modules() if isinstance(module, _BatchNorm)]
    if skip_backbone:
        norms += [module for module in model.encoder.static.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean, so that one pass gives the clip's own statistics
        norm.train()
    model(torch.from_numpy(clip))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
