"""What the geometry of the mesh says about action units, beside the network that looks at the picture.

A small network reads the measures of a face twice: as they differ from a reference that slides from the mean face at
rest to the person's own as the latter becomes known, and, as long as it is not, as they differ from the mean one. Its
logits and those of the scores are judged together: each AU by a sum of those of all AUs, so that it is known what else
the face does. The person's own face at rest is learnt as the video goes, from the frames
before only: each adds to a mean by the probability that it shows the face at rest. What the other network says of that
face is learnt too, and where `relative` says so its scores are moved by how it differs from what it says of most faces
at rest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelFolderError
from ...modelfolder.folder import ModelFolder
from ...ops.faces import MeshReader, mesh_reader
from ...vision import Face
from ...vision.faces.geometry import MEASURES, difference, measures, tables

FILE = "geometry.safetensors"
FRAMES_A_SECOND = 25.0  # in which the weight of what was seen is counted, whatever the video's own rate
LONGEST_S = 0.2  # that a frame may stand for
HALFWAY = 6.0  # frames at rest after which the own face counts as much as the mean one
MOST = 750.0  # frames at rest that are remembered: half a minute
FORGOTTEN = 1000  # frames after which a face that is not seen is forgotten: its track is over
SPREAD, ABSOLUTE_SPREAD = 6.0, 5.0  # standard deviations beyond which a measure is cut off
LARGEST = 1e6  # of a number in the file: what is computed with such stays finite
SURE = 50.0  # a logit beyond which nothing changes
EDGE = 1e-3  # scores of 0 and 1 have no logit
PLAIN = 468  # points of a mesh without the refinement of eyes and lips, which adds those of the irises
SHAPES = {"reference": (468, 3), **dict.fromkeys(("mean", "spread", "absolute_spread", "refinement"), (MEASURES,))}
OF_AUS = ("rest_logits", "relative", "offset")
OF_PAIRS = ("from_scores", "from_geometry")
LAYERS = 3
INPUTS = 3 * MEASURES + 1
Floats = NDArray[np.float64]
Scores = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GeometryModel:
    """The small network: an ensemble of S networks with two hidden layers, whose logits are averaged.

    Attributes:
        reference: (468, 3) the mean face at rest that meshes are laid on.
        mean: (MEASURES,) measures of the mean face.
        spread, absolute_spread: (MEASURES,) by which differences to the own and to the mean face are divided.
        refinement: (MEASURES,) by how much a refined mesh measures more than a plain one of the same face.
        weights, biases: of each layer, (S, outputs, inputs) and (S, outputs); N + 1 outputs, the last for rest.
        rest_logits: (N,) what the model says of most faces at rest.
        relative: (N,) in [0, 1], how far its scores are moved by what it says of the person's own.
        from_scores, from_geometry, offset: (N, N), (N, N) and (N,): what both say of all AUs as one logit an AU.
        shares: (N,) of each AU's logit that is judged so; the rest is the score's own. 0 where geometry may not speak.
    """

    reference: Floats
    mean: Floats
    spread: Floats
    absolute_spread: Floats
    refinement: Floats
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    rest_logits: Floats
    relative: Floats
    from_scores: Floats
    from_geometry: Floats
    offset: Floats
    shares: Floats

    @classmethod
    def from_bytes(cls, content: bytes, shares: Floats) -> GeometryModel:
        """Read what `to_bytes` wrote.

        Args:
            shares: (N,) in [0, 1].

        Raises:
            ModelFolderError: it is damaged, or of another number of AUs.
        """
        from safetensors.numpy import load

        try:
            arrays = {name: array.astype(np.float64) for name, array in load(content).items()}
        except Exception as error:  # safetensors' own exception shares no base with others
            raise ModelFolderError(f"{FILE} cannot be read: {' '.join(str(error).split())[:200]}") from None
        aus = len(shares)
        shapes = {**SHAPES, **dict.fromkeys(OF_AUS, (aus,)), **dict.fromkeys(OF_PAIRS, (aus, aus))}
        names = [*shapes, *(f"{kind}{layer}" for layer in range(LAYERS) for kind in ("weight", "bias"))]
        right = sorted(arrays) == sorted(names) and all((abs(array) <= LARGEST).all() for array in arrays.values())
        right = right and all(arrays[name].shape == shape for name, shape in shapes.items())
        if not right or not all((arrays[name] >= 1 / LARGEST).all() for name in ("spread", "absolute_spread")):
            raise ModelFolderError(
                f"{FILE} does not hold the arrays of a geometry; make it again: mdhr synthetic geometry"
            )
        weights = tuple(arrays[f"weight{layer}"] for layer in range(LAYERS))
        biases = tuple(arrays[f"bias{layer}"] for layer in range(LAYERS))
        _check_layers(weights, biases, aus + 1)
        plain = {name: arrays[name] for name in shapes}
        return cls(**plain, weights=weights, biases=biases, shares=np.asarray(shares, np.float64))

    def to_bytes(self) -> bytes:
        """The arrays as a safetensors file, float32; `shares` stand in `config.json`."""
        from safetensors.numpy import save

        arrays = {name: getattr(self, name) for name in (*SHAPES, *OF_AUS, *OF_PAIRS)}
        for layer in range(LAYERS):
            arrays |= {f"weight{layer}": self.weights[layer], f"bias{layer}": self.biases[layer]}
        return bytes(save({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}))

    def read(self, landmarks_px: NDArray[np.floating], neutral: Floats, known: float) -> tuple[Floats, Floats]:
        """As `measured` and `logits` of one face; by the compiled kernel where it was built, which rounds otherwise."""
        reader = _reader(self)
        if reader is not None:
            return reader.read(landmarks_px.astype(np.float32, copy=False), neutral, known)
        measured = self.measured(landmarks_px)
        return measured, self.logits(measured[None], neutral[None], np.array([known]))[0]

    def measured(self, landmarks_px: NDArray[np.floating]) -> Floats:
        """(MEASURES,) of a mesh (468 or 478, 3) in pixels, as if it were refined."""
        found = np.asarray(measures(landmarks_px[None], self.reference)[0])
        return found + self.refinement if len(landmarks_px) == PLAIN else found

    def inputs(self, measured: Floats, neutral: Floats, known: Floats) -> Floats:
        """(M, INPUTS) what the network reads.

        Args:
            measured, neutral: (M, MEASURES) of the faces, and of the same persons at rest.
            known: (M,) in [0, 1], how far the latter is known.
        """
        reference = self.mean + known[:, None] * (neutral - self.mean)
        own = clipped(difference(measured, reference) / self.spread, -SPREAD, SPREAD)
        absolute = difference(measured, self.mean) / self.absolute_spread
        absolute = clipped(absolute, -ABSOLUTE_SPREAD, ABSOLUTE_SPREAD)
        unknown = 1 - known[:, None]
        return np.concatenate([own, unknown * absolute, known[:, None], known[:, None] * own], axis=1)

    def logits(self, measured: Floats, neutral: Floats, known: Floats) -> Floats:
        """(M, N + 1) logits of the AUs, and of being at rest last; arguments as of `inputs`."""
        # Not by BLAS, whose threads would spin beside those that find faces and run the network.
        values = np.einsum("mi,soi->mso", self.inputs(measured, neutral, known), self.weights[0]) + self.biases[0]
        for weights, biases in zip(self.weights[1:], self.biases[1:], strict=True):
            values = np.einsum("msi,soi->mso", np.maximum(values, 0), weights) + biases
        return clipped(values.mean(axis=1), -SURE, SURE)

    def combined(
        self, scores: Scores, logits: Floats, moved: Floats | float = 0.0, said: Floats | None = None
    ) -> Scores:
        """Scores (N,) judged together with geometry's logits (N,); where an AU's share is 0 its score stays.

        Args:
            moved: (N,) what is taken from the scores' logits before.
            said: (N,) these logits, if they are known.
        """
        said = logit(scores) if said is None else said
        mixed = clipped(self.mixed(said - moved, logits), -SURE, SURE)
        return np.where(self.shares > 0, 1 / (1 + np.exp(-mixed)), scores).astype(np.float32)

    def mixed(self, said: Floats, logits: Floats) -> Floats:
        """(..., N) one logit an AU, of the scores' logits and geometry's, both (..., N)."""
        judged = np.einsum("ij,...j->...i", self.from_scores, said) + self.offset
        judged += np.einsum("ij,...j->...i", self.from_geometry, logits)
        return np.asarray((1 - self.shares) * said + self.shares * judged)


@functools.lru_cache(4)
def _reader(model: GeometryModel) -> MeshReader | None:
    """The compiled kernel for a model; None where there is none."""
    limits = {"most": SPREAD, "absolute_most": ABSOLUTE_SPREAD, "sure": SURE, "networks": len(model.weights[0])}
    own = {"mean": model.mean, "spread": model.spread, "absolute_spread": model.absolute_spread}
    values = {**tables(model.reference), **limits, **own}
    return mesh_reader(values, model.refinement, model.weights, model.biases)


def logit(scores: NDArray[np.floating]) -> Floats:
    """Logits of scores, which are kept off 0 and 1."""
    inside = clipped(np.asarray(scores, np.float64), EDGE, 1 - EDGE)
    return np.asarray(np.log(inside / (1 - inside)))


def clipped(values: Floats, low: float, high: float) -> Floats:
    """As `np.clip`, which takes three times as long for the few numbers of a face."""
    return np.asarray(np.minimum(np.maximum(values, low), high))


def read_geometry(folder: ModelFolder) -> GeometryModel | None:
    """What a folder's configuration says of geometry; None for a model without it.

    Raises:
        ModelFolderError: `geometry.safetensors` is missing or not what the manifest says.
    """
    shares = np.array(folder.config.geometry, np.float64)
    if not shares.any():
        return None
    if not folder.has(FILE):
        raise ModelFolderError(
            f"'{folder.path}' has no {FILE}, which its config.json asks for; copy it from the folder that this one was "
            "made from, or make it: mdhr synthetic geometry"
        )
    return GeometryModel.from_bytes(folder.read(FILE), shares)


def _check_layers(weights: tuple[Floats, ...], biases: tuple[Floats, ...], outputs: int) -> None:
    width = INPUTS
    for weight, bias in zip(weights, biases, strict=True):
        right = weight.ndim == 3 and weight.shape[2] == width and bias.shape == weight.shape[:2] and bias.size
        if not right or len(weight) != len(weights[0]):
            raise ModelFolderError(f"{FILE}: layers of {[one.shape for one in weights]} do not follow on each other")
        width = weight.shape[1]
    if width != outputs:
        raise ModelFolderError(f"{FILE} has {width} outputs and the model needs {outputs}: one an AU, and rest")


@dataclass(frozen=True, eq=False)
class GeometryRead:
    """What geometry says of a face in a frame.

    Attributes:
        logits: (N,) of the AUs.
        known: in [0, 1], how far the person's own face at rest was known.
        at_rest: frames at rest that this one counts as.
    """

    logits: Floats
    known: float
    at_rest: float


@dataclass
class _Mean:
    """A weighted mean that forgets what is long ago."""

    value: Floats
    weight: float = 0.0

    def add(self, value: Floats, weight: float) -> None:
        if weight > 0:
            self.value = self.value + weight / (self.weight + weight) * (value - self.value)
            self.weight = min(self.weight + weight, MOST)


@dataclass
class _Own:
    """A person at rest: the measures, what the model says, and when the person was seen last."""

    measured: _Mean
    said: _Mean
    last_s: float | None = None
    taken: int = 0


class OwnNeutral:
    """Reads the faces of one source in order, and learns what each looks like at rest.

    Meshes come first (`take`), and the scores of the same frames later, in the same order (`combine`).
    """

    def __init__(self, model: GeometryModel) -> None:
        self._model = model
        self._own: dict[int, _Own] = {}
        self._taken = 0

    def take(self, timestamp_s: float, faces: Mapping[int, Face]) -> dict[int, GeometryRead]:
        """Track id -> what geometry says, by what was known before this frame."""
        self._taken += 1
        if self._taken % FORGOTTEN == 0:
            self._own = {track: own for track, own in self._own.items() if self._taken - own.taken < FORGOTTEN}
        return {track: self._read(self._of(track), timestamp_s, face) for track, face in faces.items()}

    def combine(self, track: int, read: GeometryRead, scores: Scores, said: Floats | None = None) -> Scores:
        """The model's scores (N,) of a frame with what geometry said of it; `said` are their logits, if known."""
        model, at_rest = self._model, self._of(track).said
        said = logit(scores) if said is None else said
        moved = read.known * model.relative * (at_rest.value - model.rest_logits)
        at_rest.add(said, read.at_rest)
        return model.combined(scores, read.logits, moved, said)

    def moved(self, track: int, read: GeometryRead, said: Floats) -> Floats:
        """(N,) how logits differ from the person's own at rest, as far as that is known before `combine` is called."""
        return np.asarray(read.known * (said - self._of(track).said.value))

    def _of(self, track: int) -> _Own:
        if track not in self._own:
            self._own[track] = _Own(_Mean(self._model.mean), _Mean(self._model.rest_logits), taken=self._taken)
        return self._own[track]

    def _read(self, own: _Own, timestamp_s: float, face: Face) -> GeometryRead:
        known = own.measured.weight / (own.measured.weight + HALFWAY)
        measured, logits = self._model.read(face.landmarks_px, own.measured.value, known)
        passed_s = 1 / FRAMES_A_SECOND if own.last_s is None else timestamp_s - own.last_s
        at_rest = FRAMES_A_SECOND * min(max(passed_s, 0.0), LONGEST_S) / (1 + math.exp(-logits[-1]))
        own.measured.add(measured, at_rest)
        own.last_s, own.taken = timestamp_s, self._taken
        return GeometryRead(logits[:-1], float(known), at_rest)
