"""The small geometry network trained on meshes of rendered people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...errors import DataError
from ...modelfolder.strict import Number, Positive, Share, strict
from ...pipeline.scores.geometry import LAYERS, GeometryModel
from ...vision.faces.geometry import MEASURES, POSE, difference, laid_on, mean_face, of_laid, upright
from .meshes import Meshes

REST_BELOW = 0.12  # intensity of every AU in a frame that counts as at rest
POSE_SPREAD = (0.1, 0.2, 0.2, 0.05)  # of squared yaw, pitch, size of yaw, squared roll; in radians
Floats = NDArray[np.float64]


@strict
class FitOptions:
    """How the network is trained.

    Attributes:
        copies: of all meshes; all but the first carry errors of the pose fit, and a share of them the plain mesh.
        networks: trained from other random weights; their logits are averaged.
        epochs: over all copies.
        hidden: width of both hidden layers.
        linear: no hidden layers, for ablations.
        noise: of each measure, in its standard deviations.
        identity: how far measures are moved by how another person's face differs from the mean one.
        unknown: share of the frames read without the own face at rest.
        plain: share of the meshes that are the plain one.
        rarity: power of the weight of frames that show a rare AU; 0 for none.
    """

    copies: Positive = 4
    networks: Positive = 6
    epochs: Positive = 5
    batch: Positive = 256
    hidden: Positive = 32
    linear: bool = False
    rate: Annotated[Number, Field(gt=0)] = 4e-3
    decay: Annotated[Number, Field(ge=0)] = 2e-2
    dropout: Share = 0.3
    noise: Annotated[Number, Field(ge=0)] = 0.12
    identity: Annotated[Number, Field(ge=0)] = 0.25
    unknown: Share = 0.35
    plain: Share = 0.35
    turn_deg: tuple[Number, Number, Number] = (3.0, 2.0, 1.0)
    scale: Share = 0.015
    rarity: Share = 0.5
    seed: Annotated[int, Field(ge=0)] = 0


def fit(
    meshes: Meshes, options: FitOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> GeometryModel:
    """Train the network; geometry alone is left to judge, with a share of a half, and no score is relative.

    Raises:
        DataError: no person has a frame at rest.
    """
    meshes = with_rest(meshes)
    reference = mean_face(meshes.fine[meshes.rest])
    rng = np.random.default_rng(options.seed)
    refinement = _refinement(meshes, reference)
    copies = [
        copy_of(meshes, reference, refinement, rng, options, clean=number == 0) for number in range(options.copies)
    ]
    measured, neutral = copies[0]
    mean = measured[meshes.rest].mean(axis=0)
    mean[-POSE:] = 0
    spreads = [difference(measured, one).std(axis=0) + 1e-4 for one in (neutral, mean)]
    for spread in spreads:
        spread[-POSE:] = POSE_SPREAD
    frame = _frame(reference, mean, spreads[0], spreads[1], refinement, meshes.labels.shape[1])
    layers = []
    for number in range(options.networks):
        layers.append(_train(frame, copies, meshes, options, number))
        progress(number + 1, options.networks)
    weights, biases = (
        tuple(np.stack([one[layer][kind] for one in layers]) for layer in range(LAYERS)) for kind in (0, 1)
    )
    return replace(frame, weights=weights, biases=biases)


def _refinement(meshes: Meshes, reference: Floats) -> Floats:
    """(MEASURES,) how much more refined meshes measure than plain ones of the same frames; nothing of the pose."""
    fine, plain = (of_laid(*laid_on(upright(one), reference)) for one in (meshes.fine, meshes.plain))
    found = (fine - plain).mean(axis=0)
    found[-POSE:] = 0
    return found


def _frame(
    reference: Floats, mean: Floats, spread: Floats, absolute_spread: Floats, refinement: Floats, aus: int
) -> GeometryModel:
    """A geometry without its networks, which alone judge."""
    nothing, nobody = np.zeros(aus), np.zeros((aus, aus))
    return GeometryModel(
        reference, mean, spread, absolute_spread, refinement, (), (), rest_logits=nothing, relative=nothing,
        from_scores=nobody, from_geometry=np.eye(aus), offset=nothing, shares=np.full(aus, 0.5),
    )  # fmt: skip


def with_rest(meshes: Meshes) -> Meshes:
    """The frames of people of whom some frame is at rest."""
    known = np.isin(meshes.person, meshes.person[meshes.rest])
    if not known.any():
        raise DataError("no mesh of anybody at rest was found; render more people")
    return Meshes(**{name: array[known] for name, array in vars(meshes).items()})


def copy_of(
    meshes: Meshes,
    reference: Floats,
    refinement: Floats,
    rng: np.random.Generator,
    options: FitOptions,
    clean: bool = False,
) -> tuple[Floats, Floats]:
    """(M, MEASURES) of all frames, and of the same people at rest; with errors, or clean."""
    plain = (rng.random(len(meshes.rest)) < (0 if clean else options.plain))[:, None, None]
    laid, rotation = laid_on(upright(np.where(plain, meshes.plain, meshes.fine)), reference)
    if not clean:
        laid = _shaken(laid, rng, options)
    measured = of_laid(laid, rotation) + plain[:, :, 0] * refinement
    neutral = np.empty_like(measured)
    for person in np.unique(meshes.person):
        rows = np.flatnonzero(meshes.rest & (meshes.person == person))
        some = rng.choice(rows, min(len(rows), int(rng.integers(1, 3))), replace=False)
        neutral[meshes.person == person] = measured[some].mean(axis=0)
    return measured, neutral


def _shaken(laid: Floats, rng: np.random.Generator, options: FitOptions) -> Floats:
    """Faces a little turned and scaled, as by a pose that was found wrongly."""
    count = len(laid)
    angles = np.deg2rad(rng.normal(0, 1, (count, 3)) * options.turn_deg)
    turn = np.tile(np.eye(3), (count, 1, 1))
    for axis, (first, second) in enumerate(((1, 2), (0, 2), (0, 1))):
        one = np.tile(np.eye(3), (count, 1, 1))
        one[:, first, first] = one[:, second, second] = np.cos(angles[:, axis])
        one[:, second, first] = np.sin(angles[:, axis])
        one[:, first, second] = -one[:, second, first]
        turn = turn @ one
    return np.asarray((laid @ turn) * (1 + options.scale * rng.normal(0, 1, (count, 1, 1))))


def _train(
    frame: GeometryModel, copies: list[tuple[Floats, Floats]], meshes: Meshes, options: FitOptions, number: int
) -> list[tuple[Floats, Floats]]:
    """Weights and biases of the layers of one network."""
    from . import networks

    rng = np.random.default_rng((options.seed, number))
    at_rest = (meshes.intensities.max(axis=1) < REST_BELOW)[:, None]
    labels = np.concatenate([meshes.labels, at_rest.astype(np.int8)], axis=1)

    def reader(measured: Floats, neutral: Floats) -> networks.Reader:
        return lambda rows: _inputs(frame, measured[rows], neutral[rows], rng, options)

    def readers() -> Iterator[networks.Reader]:
        return (reader(measured, copies[int(rng.integers(len(copies)))][1]) for measured, _ in copies)

    hidden = [] if options.linear else [options.hidden] * (LAYERS - 1)
    network = networks.make([3 * MEASURES + 1, *hidden, labels.shape[1]], options.seed + number, options.dropout)
    networks.train(network, labels, len(copies), readers, options, rng)
    layers = networks.arrays(network)
    return _in_layers(*layers[0]) if options.linear else layers


def degrees(count: int, unknown: float, rng: np.random.Generator) -> Floats:
    """(count,) in [0, 1]: how far the own face at rest is known, in a share of `unknown` not at all."""
    return np.where(rng.random(count) < unknown, 0.0, np.sqrt(rng.random(count)))


def _inputs(
    frame: GeometryModel, measured: Floats, neutral: Floats, rng: np.random.Generator, options: FitOptions
) -> NDArray[np.float32]:
    """What the network reads of a batch: the own face known to a random degree, measures that jitter, other faces."""
    count = len(measured)
    known = degrees(count, options.unknown, rng)
    jitter = options.noise * rng.normal(0, 1, measured.shape) * (1 + 0.5 * rng.random((count, 1))) * frame.spread
    other = options.identity * rng.normal(0, 1, (count, 1)) * (neutral - frame.mean)[rng.permutation(count)]
    jitter[:, -POSE:] = other[:, -POSE:] = 0
    return frame.inputs(measured + jitter + other, neutral + other, known).astype(np.float32)


def _in_layers(weight: Floats, bias: Floats) -> list[tuple[Floats, Floats]]:
    """A linear network as layers that pass on its outputs and their negatives."""
    signs = np.concatenate([np.eye(len(bias)), -np.eye(len(bias))])
    return [(signs @ weight, signs @ bias), (np.eye(len(signs)), np.zeros(len(signs))), (signs.T, np.zeros(len(bias)))]
