"""The baseline: eager PyTorch in fp32, in the released order, with the pooling of the released code."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from mdhr_sdk.model import MDHR, load_model
from mdhr_sdk.model.graphs import build_graph
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session
from mdhr_sdk.runtime.backends.torch_module import TorchModuleSession
from mdhr_sdk.runtime.session import Arrays, graph_specs

NAME = "released"


class PooledMean(nn.Module):
    """Eq. 3 as average pooling along time: window 2k, stride 1, padding k that counts.

    Of the forms that PyTorch offers for it (1d, 2d, 3d) this is the fastest, so that the baseline is no straw man.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, differences: Tensor, k: int | None = None) -> Tensor:
        """(B, T - 1, ...) -> (B, T, ...)."""
        k = k or self.k
        rows = differences.flatten(2).transpose(1, 2)  # (B, values, T - 1): pooling runs along the last axis
        pooled = F.avg_pool1d(rows, 2 * k, stride=1, padding=k, count_include_pad=True)
        return pooled.transpose(1, 2).unflatten(2, differences.shape[2:])


def pooled_as_released(model: MDHR) -> MDHR:
    """The model with the pooling of the released code in place of its own; the numbers stay the same."""
    if model.head.dynamics is not None:
        mean: Any = PooledMean(model.config.k)
        model.head.dynamics.window_mean = mean
    return model


def released_session(folder: ModelFolder, graph: str, options: SessionOptions) -> TorchModuleSession:
    """A graph of the folder's weights; `MDHR.forward`, which 'clip' runs, takes differences before convolutions."""

    def load(device: str) -> nn.Module:
        model = pooled_as_released(load_model(folder))
        return build_graph(model, folder.config.preprocessing, graph).to(device)

    return TorchModuleSession(graph_specs(folder.config, graph, frames=None), options, load)


def released_difference(folder: ModelFolder, graph: str, options: SessionOptions, inputs: Arrays) -> float:
    """Largest absolute difference of the baseline's first output (the scores, or an encoder's tokens) to the model's.

    NaN counts as infinite.
    """
    model, _ = open_session(folder, "torch", options, graph)
    first = model.outputs[0].name
    wanted = model.run(inputs)[first]
    model.close()
    found = released_session(folder, graph, options).run(inputs)[first]
    return float(np.nan_to_num(np.abs(found - wanted), nan=np.inf).max())
