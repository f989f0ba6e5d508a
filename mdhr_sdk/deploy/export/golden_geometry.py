"""Golden arrays of what is read from the mesh, and of the scores that it gives together with the network's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pipeline.scores.geometry import FRAMES_A_SECOND, PLAIN, GeometryModel, GeometryRead, OwnNeutral, logit
from ...pipeline.scores.intensity import MOST, IntensityModel, given
from ...vision import Face
from .golden_faces import Seen

Array = NDArray[Any]
STILL_S, BACK_S, LATER_S = 0.0, -0.5, 3.0  # steps from a frame to the next that a careless clock would count wrong


def geometry_arrays(
    model: GeometryModel, intensity: IntensityModel | None, faces: Sequence[Seen], scores: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """Meshes, measures, and for two rows of times what geometry says, and the scores and intensities that follow.

    Args:
        intensity: None for a model without it, of which there are none.
        scores: name -> (F, N) of the network alone, of the same F faces.
    """
    meshes = np.stack([np.column_stack([face.mesh, face.depth]).astype(np.float32) for face in faces])
    yield "geometry/meshes", meshes
    yield "geometry/measures", np.stack([model.measured(mesh) for mesh in meshes])
    yield "geometry/plain_measures", np.stack([model.measured(mesh[:PLAIN]) for mesh in meshes])
    for name, times_s in (("steady", _steady(len(meshes))), ("uneven", _uneven(len(meshes)))):
        yield f"geometry/{name}/times_s", times_s
        reads = _reads(OwnNeutral(model), meshes, times_s)
        yield f"geometry/{name}/logits", np.stack([read.logits for read in reads])
        yield f"geometry/{name}/known", np.array([read.known for read in reads])
        yield f"geometry/{name}/at_rest", np.array([read.at_rest for read in reads])
        for kind, rows in scores.items():
            final, strengths = _final(model, intensity, meshes, times_s, rows)
            yield f"geometry/{name}/{kind}", final
            if intensity is not None:
                yield f"geometry/{name}/{kind.replace('scores', 'intensities')}", strengths


def _final(
    model: GeometryModel, intensity: IntensityModel | None, meshes: Array, times_s: Array, rows: Array
) -> tuple[Array, Array]:
    """(F, N) scores, and (F, N) intensities, NaN for AUs without one."""
    own, final = OwnNeutral(model), []
    strengths = np.full(rows.shape, np.nan)
    for at, (read, row) in enumerate(zip(_reads(own, meshes, times_s), rows, strict=True)):
        if intensity is not None:
            said = logit(row)
            moved = own.moved(0, read, said)
            strengths[at] = MOST * intensity.strengths(given(said, read.logits, moved, read.known))
        final.append(own.combine(0, read, row))
    return np.stack(final), strengths


def _steady(count: int) -> Array:
    return np.arange(count) / FRAMES_A_SECOND


def _uneven(count: int) -> Array:
    """Frames at half the rate, a frame twice, a step back, and a gap of seconds."""
    steps_s = np.full(count, 2 / FRAMES_A_SECOND)
    steps_s[0] = 1.0
    for at, step_s in zip((count // 4, count // 3, count // 2), (STILL_S, BACK_S, LATER_S), strict=True):
        steps_s[at] = step_s
    return np.cumsum(steps_s)


def _reads(own: OwnNeutral, meshes: Array, times_s: Array) -> list[GeometryRead]:
    return [own.take(float(time_s), {0: Face(mesh)})[0] for time_s, mesh in zip(times_s, meshes, strict=True)]
