"""What each part of geometry is worth, on rendered people that nothing was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...modelfolder.folder import ModelFolder
from ...pipeline.scores.geometry import GeometryModel
from ...training.evaluate.metrics import area_under_curve
from ...vision.faces.geometry import measures
from .fit import FitOptions, fit, with_rest
from .judge import own_neutral
from .meshes import Meshes
from .saving import network_logits
from .together import TogetherOptions, judge_together_of

Floats = NDArray[np.float64]
UNAWARE = "trained again, unaware of faces at rest"


@dataclass(frozen=True)
class Row:
    """A model with a part taken away: means over the AUs that geometry may judge.

    Attributes:
        name: what is changed.
        auc, f1: of frames whose people are new, and with their face at rest known; F1 is at the thresholds that are
            best on the people trained on.
    """

    name: str
    auc: tuple[float, float]
    f1: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scored:
    """People, what the network says of them, and both at rest."""

    meshes: Meshes
    said: Floats
    said_at_rest: Floats

    @classmethod
    def of(cls, meshes: Meshes, folder: ModelFolder) -> Scored:
        meshes = with_rest(meshes)
        said = network_logits(folder, meshes.crops)
        return cls(meshes, said, own_neutral(meshes, said))

    @property
    def persons(self) -> int:
        """How many people there are."""
        return len(np.unique(self.meshes.person))

    def first(self, persons: int) -> Scored:
        """The people with the lowest seeds."""
        some = np.isin(self.meshes.person, np.unique(self.meshes.person)[:persons])
        meshes = Meshes(**{name: array[some] for name, array in vars(self.meshes).items()})
        return Scored(meshes, self.said[some], self.said_at_rest[some])


def ablate(
    model: GeometryModel,
    train: Scored,
    test: Scored,
    seed: int = 0,
    persons: Sequence[int] = (),
    tell: Callable[[str], None] = lambda name: None,
) -> Iterator[Row]:
    """A row for the model as it is, then one for each part that is taken away, then the learning curve.

    What needs it is trained again.

    Args:
        model: with its shares.
        train, test: other people.
        persons: numbers of people to train on, a row each, with thresholds chosen on these people.
        tell: is called with the name of each row before it is worked out.
    """
    aus, told = len(model.shares), np.flatnonzero(model.shares > 0)
    nothing, alone = np.zeros((aus, aus)), np.eye(aus)
    own = replace(model, from_scores=nothing, from_geometry=alone, offset=np.zeros(aus))
    parts: list[tuple[str, Callable[[], GeometryModel]]] = [
        ("as it is", lambda: model),
        ("network alone", lambda: replace(model, shares=np.zeros(aus))),
        ("geometry alone", lambda: replace(own, shares=np.ones(aus))),
        ("network's and geometry's logit of the AU alone, averaged", lambda: replace(own, shares=np.full(aus, 0.5))),
        ("network's scores not relative to the own face at rest", lambda: replace(model, relative=np.zeros(aus))),
        ("trained again", lambda: _again(model, train, FitOptions(seed=seed))),
        ("trained again, linear", lambda: _again(model, train, FitOptions(seed=seed, linear=True))),
        (UNAWARE, lambda: _again(model, train, FitOptions(seed=seed, unknown=1))),
    ]
    for name, make in parts:
        tell(name)
        most = 0.0 if name == UNAWARE else 1.0  # it was not trained to read the face at rest
        yield _row(name, make(), train, test, told, most)
    for some in map(train.first, persons):
        tell(name := f"trained again, on {some.persons} people")
        yield _row(name, _again(model, some, FitOptions(seed=seed)), some, test, told)


def _row(
    name: str, model: GeometryModel, train: Scored, test: Scored, told: NDArray[np.intp], most: float = 1.0
) -> Row:
    figures = [_figures(model, train, test, known, told) for known in (0.0, most)]
    return Row(name, (figures[0][0], figures[1][0]), (figures[0][1], figures[1][1]))


def _again(model: GeometryModel, train: Scored, options: FitOptions) -> GeometryModel:
    fitted = fit(train.meshes, options)
    fitted = replace(fitted, rest_logits=model.rest_logits, relative=model.relative, shares=model.shares)
    together = TogetherOptions(seed=options.seed)
    together = replace(together, unknown=1) if options.unknown == 1 else together
    return judge_together_of(fitted, train.meshes, train.said, together)


def _figures(
    model: GeometryModel, train: Scored, test: Scored, known: float, told: NDArray[np.intp]
) -> tuple[float, float]:
    """Mean AUC and F1."""
    logits = [_logits(model, part, known) for part in (train, test)]
    areas = area_under_curve(logits[1], test.meshes.labels)
    f1 = []
    for au in told:
        cut = _best_cut(*_known(train.meshes.labels[:, au], logits[0][:, au]))
        truth, values = _known(test.meshes.labels[:, au], logits[1][:, au])
        hits = (truth & (values >= cut)).sum()
        f1.append(2 * hits / max(truth.sum() + (values >= cut).sum(), 1))
    return float(np.nanmean(areas[told])), float(np.mean(f1))


def _best_cut(truth: NDArray[np.bool_], values: Floats) -> float:
    """The logit from which F1 is highest."""
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(truth[order])
    return float(values[order][np.argmax(2 * hits / (np.arange(1, len(values) + 1) + truth.sum()))])


def _known(labels: NDArray[np.int8], values: Floats) -> tuple[NDArray[np.bool_], Floats]:
    known = labels >= 0
    return labels[known] == 1, values[known]


def _logits(model: GeometryModel, people: Scored, known: float) -> Floats:
    """(M, N) of all frames."""
    measured = measures(people.meshes.fine, model.reference)
    degree = np.full(len(measured), known)
    geometry = model.logits(measured, own_neutral(people.meshes, measured), degree)[:, :-1]
    return model.mixed(people.said - known * model.relative * (people.said_at_rest - model.rest_logits), geometry)
