"""One logit an AU of what the network and geometry say of all AUs, trained on rendered people.

The network was trained on rendered people too, and is surer of them than of real ones. So its logits are made weaker
and noisy, and often left out: what is trained is how far each can be relied on, and which AUs go together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...modelfolder.folder import ModelFolder
from ...modelfolder.strict import Number, Positive, Share, strict
from ...pipeline.scores.geometry import GeometryModel
from .fit import FitOptions, copy_of, degrees, with_rest
from .judge import own_neutral
from .meshes import Meshes
from .saving import network_logits

Floats = NDArray[np.float64]


@strict
class TogetherOptions:
    """How the judgement is trained.

    Attributes:
        copies: of all meshes, as in `FitOptions`.
        epochs: over all copies.
        gain: least and greatest factor of the network's logits.
        doubt, geometry_doubt: standard deviation of the noise of the network's and of geometry's logits.
        silent, geometry_silent: share of the frames in which the network, or geometry, says nothing.
    """

    copies: Positive = 3
    epochs: Positive = 6
    batch: Positive = 256
    rate: Annotated[Number, Field(gt=0)] = 6e-3
    decay: Annotated[Number, Field(ge=0)] = 5e-2
    gain: tuple[Share, Number] = (0.5, 1.05)
    doubt: Annotated[Number, Field(ge=0)] = 2.0
    geometry_doubt: Annotated[Number, Field(ge=0)] = 0.8
    silent: Share = 0.35
    geometry_silent: Share = 0.15
    unknown: Share = 0.65
    rarity: Share = 0.5
    seed: Annotated[int, Field(ge=0)] = 0


def judge_together(model: GeometryModel, meshes: Meshes, folder: ModelFolder) -> GeometryModel:
    """The model with `from_scores`, `from_geometry` and `offset` trained.

    Args:
        model: trained, with its `rest_logits` and `relative`.
        meshes: of people to train on; who has no frame at rest is left out.
        folder: with the network.
    """
    meshes = with_rest(meshes)
    return judge_together_of(model, meshes, network_logits(folder, meshes.crops), TogetherOptions())


def judge_together_of(model: GeometryModel, meshes: Meshes, said: Floats, options: TogetherOptions) -> GeometryModel:
    """The same of what the network said: logits (M, N) of people who all have a frame at rest."""
    from . import networks

    rng = np.random.default_rng((options.seed, 1))
    copies = [_both(model, meshes, said, rng, options) for _ in range(options.copies)]

    def reader(both: Floats) -> networks.Reader:
        return lambda rows: _doubted(both[rows], rng, options)

    aus = meshes.labels.shape[1]
    layer = networks.make([2 * aus, aus], options.seed)
    networks.train(layer, meshes.labels, options.copies, lambda: map(reader, copies), options, rng)
    ((weights, offset),) = networks.arrays(layer)
    return replace(model, from_scores=weights[:, :aus], from_geometry=weights[:, aus:], offset=offset)


def _both(
    model: GeometryModel, meshes: Meshes, said: Floats, rng: np.random.Generator, options: TogetherOptions
) -> Floats:
    """(M, 2 N) logits of the network and of geometry, the own face at rest known to a random degree."""
    measured, neutral = copy_of(meshes, model.reference, model.refinement, rng, FitOptions())
    known = degrees(len(measured), options.unknown, rng)
    relative = said - known[:, None] * model.relative * (own_neutral(meshes, said) - model.rest_logits)
    return np.concatenate([relative, model.logits(measured, neutral, known)[:, :-1]], axis=1)


def _doubted(both: Floats, rng: np.random.Generator, options: TogetherOptions) -> NDArray[np.float32]:
    aus = both.shape[1] // 2
    parts = []
    for logits, doubt, silent, gain in (
        (both[:, :aus], options.doubt, options.silent, options.gain),
        (both[:, aus:], options.geometry_doubt, options.geometry_silent, (1.0, 1.0)),
    ):
        heard = rng.random((len(both), 1)) >= silent
        parts.append(heard * (rng.uniform(*gain, (len(both), 1)) * logits + doubt * rng.normal(0, 1, logits.shape)))
    return np.concatenate(parts, axis=1).astype(np.float32)
