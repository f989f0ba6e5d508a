"""The small networks of the intensities, fitted on meshes and crops of rendered people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.nn import functional

from ...modelfolder.folder import ModelFolder
from ...modelfolder.strict import Number, Positive, strict
from ...pipeline.scores.geometry import GeometryModel
from ...pipeline.scores.intensity import INPUTS, IntensityModel, inputs
from ...vision.faces.geometry import measures
from ..geometry.fit import with_rest
from ..geometry.judge import own_neutral
from ..geometry.meshes import Meshes
from ..geometry.saving import network_logits

KNOWN = (0.0, 0.4, 0.7, 0.9, 1.0)  # how far the face at rest is known, in the copies that are read
Floats = NDArray[np.float64]


@strict
class IntensityOptions:
    """How the networks are fitted.

    Attributes:
        hidden: units of each.
        steps: of gradient descent, each over all frames.
        rate: its greatest rate.
        decay: of the weights.
    """

    hidden: Positive = 8
    steps: Positive = 400
    rate: Annotated[Number, Field(gt=0)] = 2e-2
    decay: Annotated[Number, Field(ge=0)] = 1e-3
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, eq=False)
class Read:
    """What a model says of frames of rendered people, and the truth.

    Attributes:
        said: (M, N) logits of its network, of each frame by itself.
        moved: (M, N) how they differ from those of the person at rest.
        measured, neutral: (M, MEASURES) of the meshes, and of the same people at rest.
        truth: (M, N) intensities as shares of the most, in [0, 1]; known: (M, N) whether anybody could tell.
    """

    said: Floats
    moved: Floats
    measured: Floats
    neutral: Floats
    truth: Floats
    known: NDArray[np.bool_]

    def given(self, geometry: GeometryModel, known: float) -> tuple[Floats, Floats, Floats, Floats]:
        """What `IntensityModel.strengths` takes, with the face at rest known so far, in [0, 1]."""
        share = np.full(len(self.said), known)
        logits = geometry.logits(self.measured, self.neutral, share)[:, :-1]
        return self.said, logits, known * self.moved, share


def read_people(meshes: Meshes, geometry: GeometryModel, folder: ModelFolder) -> Read:
    """The frames of clips, of people of whom some other frame is at rest.

    Raises:
        DataError: there is none.
    """
    meshes = with_rest(meshes)
    said, measured = network_logits(folder, meshes.crops), measures(meshes.fine, geometry.reference)
    moved, neutral = said - own_neutral(meshes, said), own_neutral(meshes, measured)
    played = ~meshes.rest
    truth = np.clip(meshes.intensities.astype(np.float64), 0, 1)
    arrays = (said, moved, measured, neutral, truth, meshes.labels >= 0)
    return Read(*(array[played] for array in arrays))


def fit(read: Read, geometry: GeometryModel, options: IntensityOptions) -> IntensityModel:
    """Fit by least squares, over the frames of which the truth is known; all intensities are told."""
    torch.manual_seed(options.seed)
    copies = np.concatenate([inputs(*read.given(geometry, known)) for known in KNOWN])
    values = torch.from_numpy(copies.astype(np.float32))
    truth, counts = (
        torch.from_numpy(np.tile(array, (len(KNOWN), 1)).astype(np.float32)) for array in (read.truth, read.known)
    )
    network = _Rising(values.shape[1], options.hidden)
    optimiser: Any = torch.optim.AdamW(network.parameters(), weight_decay=options.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, max(options.steps, 2))
    for _ in range(options.steps):
        optimiser.zero_grad()
        (((network(values) - truth) ** 2 * counts).sum() / counts.sum()).backward()
        optimiser.step()
        schedule.step()
    return network.made()


class _Rising(nn.Module):
    """A network an AU, of one hidden layer, that never falls where one of the first three inputs rises."""

    def __init__(self, aus: int, hidden: int) -> None:
        super().__init__()
        self.weight0 = nn.Parameter(0.5 * torch.randn(aus, hidden, INPUTS))
        self.bias0 = nn.Parameter(torch.randn(aus, hidden))
        self.weight1 = nn.Parameter(0.3 * torch.randn(aus, hidden) - 2)
        self.bias1 = nn.Parameter(torch.zeros(aus))

    def weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of both layers, after what must be positive was made so."""
        rising, free = self.weight0[..., : INPUTS - 1], self.weight0[..., INPUTS - 1 :]
        return torch.cat([functional.softplus(rising), free], dim=-1), functional.softplus(self.weight1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(M, N) intensities as shares, from (M, N, INPUTS)."""
        first, second = self.weights()
        hidden = torch.tanh(torch.einsum("mni,nhi->mnh", values, first) + self.bias0)
        return torch.einsum("mnh,nh->mn", hidden, second) + self.bias1

    def made(self) -> IntensityModel:
        with torch.no_grad():
            first, second = self.weights()
            tensors = (first, self.bias0, second, self.bias1)
            arrays = [tensor.detach().numpy().astype(np.float64) for tensor in tensors]
        return IntensityModel(*arrays, told=np.ones(len(self.bias1), bool))
