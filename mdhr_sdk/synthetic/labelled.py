"""A labelled clip from a seed: person, scene, movements, and the true labels of every frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..modelfolder.strict import strict
from .face.motion import Motion, clip_motion
from .face.muscles import INDEX, LIP_GAP_AT_1_CM, OCCURS_FROM
from .face.person import Person
from .kit import Floats
from .picture.occluders import Occluder, draw_occluder, glasses_points, hidden_units, put_before, put_glasses
from .picture.render import Renderer, View, project, rotation
from .picture.scene import PIVOT, Grain, Scene, expose

UNKNOWN = -1
MOST_FRAMES = 1000  # all of a clip's vertices are kept while it is made, 1 MB per frame
BROAD_SMILE = 0.5  # of AU12, from which the upper lip rises with it
RESTING_TURN_DEG = (10, 7, 4)  # standard deviations of yaw, pitch and roll of a head at rest
BROW_RISE_CM = 0.05  # of the inner brows, from which AU1 can be seen


@strict
class ClipOptions:
    """What kind of clips are made.

    Attributes:
        frames: T, frames per clip.
        spacing_s: seconds from one frame to the next: 0.04 is a video, 0.5 gives frames that differ.
        size_px: side of the square picture.
        hard_cases: toothy smiles, speech, closed eyes, squints, faces at rest, on purpose.
    """

    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)] = 24
    spacing_s: Annotated[float, Field(ge=0.001, le=60)] = 0.04
    size_px: Annotated[int, Field(ge=64, le=2048)] = 256
    hard_cases: bool = True


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A clip and its truth.

    Attributes:
        frames: (T, S, S, 3) uint8 BGR.
        intensities: (T, 15) float32 in the order of `AUS`: 1 is the usual apex; AU25's is measured on the lips.
        labels: (T, 15) int8: 1 where an AU occurs (intensity from 0.3 on), 0, or -1 where nobody could tell: behind
            something, AU24 where lips part, AU10 in a broad smile, AU1 where AU4 holds the brows down.
        landmarks_px: (T, 68, 2) float32.
        poses_rad: (T, 3) yaw, pitch, roll.
        facts: of person and scene, for tables.
    """

    frames: NDArray[np.uint8]
    intensities: Floats
    labels: NDArray[np.int8]
    landmarks_px: Floats
    poses_rad: Floats
    facts: dict[str, Any] = field(default_factory=dict)


def render_clip(
    renderer: Renderer, person: Person, clip: int, options: ClipOptions, case: str | None = None
) -> SyntheticClip:
    """Clip number `clip`, from 0, of a person; the same arguments give the same bytes.

    Args:
        case: the hard case to play, as 'talking'; None to draw one.
    """
    kit, rng = renderer.kit, np.random.default_rng((person.seed, 2, clip))
    scene, occluder = Scene.draw(rng, renderer.size), draw_occluder(rng, person.colours.skin)
    times_s = np.arange(options.frames) * options.spacing_s
    motion = clip_motion(kit, rng, times_s, person.rest, person.lid, options.hard_cases, case)
    views, marks, intensities, labels = _played(renderer, person, scene, motion)
    frames, grain = [], Grain(np.random.default_rng((person.seed, 3, clip)), renderer.size)
    for index, view in enumerate(views):
        picture = renderer.picture(person, scene, view, motion.halves[index], motion.poses_rad[index])
        picture = _with_glasses(renderer, person, scene, picture, motion.poses_rad[index])
        mask = np.zeros(picture.shape[:2], np.float32)
        if occluder is not None:
            light = float(np.sqrt(scene.lights.sky.mean() + 0.6 * scene.lights.colours.mean()))
            picture, mask = put_before(picture, occluder, marks[index], float(times_s[index]), light, rng)
        labels[index, hidden_units(mask, marks[index])] = UNKNOWN
        frames.append(_seen(picture, scene, marks, index, options, grain))
    return SyntheticClip(
        np.stack(frames), intensities, labels, marks, motion.poses_rad, _facts(person, scene, motion, occluder)
    )


def render_at_rest(
    renderer: Renderer, person: Person, clip: int, options: ClipOptions, count: int
) -> tuple[NDArray[np.uint8], Floats]:
    """A person at rest in the scene of clip number `clip`, the head turned at random.

    Returns:
        (count, S, S, 3) uint8 BGR, and landmarks (count, 68, 2) in pixels.
    """
    kit, rng = renderer.kit, np.random.default_rng((person.seed, 4, clip))
    scene, weights = Scene.draw(np.random.default_rng((person.seed, 2, clip)), renderer.size), person.rest.copy()
    for side in "LR":
        lid = kit.shape[f"eyeBlink_{side}"]
        weights[lid] = np.clip(weights[lid] + person.lid, 0, 1)
    frames, marks, grain = [], [], Grain(rng, renderer.size)
    for _ in range(count):
        pose = (rng.normal(0, 1, 3) * np.deg2rad(RESTING_TURN_DEG)).astype(np.float32)
        view = renderer.view(person, scene.camera, weights, pose)
        picture = renderer.picture(person, scene, view, np.zeros((2, len(INDEX)), np.float32), pose)
        picture = _with_glasses(renderer, person, scene, picture, pose)
        marks.append(renderer.landmarks(view))
        frames.append(_seen(picture, scene, marks[-1][None], 0, options, grain))
    return np.stack(frames), np.stack(marks)


def render_motion(renderer: Renderer, person: Person, clip: int, motion: Motion, options: ClipOptions) -> SyntheticClip:
    """A person moved as `motion` says, in the scene of clip number `clip`, with nothing before the face.

    Consecutive frames in which all stays as it is are drawn once; their grain differs.
    """
    scene = Scene.draw(np.random.default_rng((person.seed, 2, clip)), renderer.size)
    grain = Grain(np.random.default_rng((person.seed, 3, clip)), renderer.size)
    views, marks, intensities, labels = _played(renderer, person, scene, motion)
    moves = list(zip(motion.weights, motion.poses_rad, motion.halves, strict=True))
    frames: list[NDArray[np.uint8]] = []
    for index, (view, move) in enumerate(zip(views, moves, strict=True)):
        if not index or any((a != b).any() for a, b in zip(moves[index - 1], move, strict=True)):
            _, pose, halves = move
            picture = renderer.picture(person, scene, view, halves, pose)
            picture = _with_glasses(renderer, person, scene, picture, pose)
        frames.append(_seen(picture, scene, marks, index, options, grain))
    return SyntheticClip(
        np.stack(frames), intensities, labels, marks, motion.poses_rad, _facts(person, scene, motion, None)
    )


def _played(
    renderer: Renderer, person: Person, scene: Scene, motion: Motion
) -> tuple[list[View], Floats, Floats, NDArray[np.int8]]:
    """Of each frame the view, landmarks in pixels, and the true intensities and labels."""
    views = [
        renderer.view(person, scene.camera, weights, pose)
        for weights, pose in zip(motion.weights, motion.poses_rad, strict=True)
    ]
    marks = np.stack([renderer.landmarks(view) for view in views])
    intensities = motion.intensities.copy()
    intensities[:, INDEX[25]] = np.clip([renderer.lip_gap_cm(v) / LIP_GAP_AT_1_CM for v in views], 0, 1.15)
    resting = renderer.view(person, scene.camera, person.rest, np.zeros(3, np.float32))
    rises_cm = np.array([renderer.brow_cm(view) for view in views]) - renderer.brow_cm(resting)
    return views, marks, intensities, _labels(intensities, rises_cm)


def _labels(intensities: Floats, rises_cm: Floats) -> NDArray[np.int8]:
    """(T, 15) what occurs, and UNKNOWN for what the geometry of other AUs hides or forbids.

    Args:
        intensities: (T, 15).
        rises_cm: (T,) of the inner brows above where they rest.
    """
    labels = (intensities >= OCCURS_FROM).astype(np.int8)
    present, broad = labels == 1, intensities[:, INDEX[12]] >= BROAD_SMILE
    labels[present[:, INDEX[24]] & present[:, INDEX[25]], INDEX[24]] = UNKNOWN
    labels[present[:, INDEX[10]] & broad, INDEX[10]] = UNKNOWN  # the smile alone raises the lip as much
    labels[present[:, INDEX[1]] & (rises_cm < BROW_RISE_CM), INDEX[1]] = UNKNOWN  # AU4 pulled harder
    return labels


def _with_glasses(renderer: Renderer, person: Person, scene: Scene, picture: Floats, pose_rad: Floats) -> Floats:
    if person.glasses is None:
        return picture
    points = glasses_points(person.vertices[renderer.kit.landmarks], person.seed % 7 / 6) - PIVOT
    pixels = project(points @ rotation(*pose_rad).T, scene.camera, renderer.size)[:, :2]
    return put_glasses(picture, pixels, person.glasses, renderer.size / scene.camera.height_cm, float(pose_rad[0]))


def _seen(
    picture: Floats, scene: Scene, marks: Floats, index: int, options: ClipOptions, grain: Grain
) -> NDArray[np.uint8]:
    drift = (0.0, 0.0)
    if options.spacing_s < 0.1 and len(marks) > 1:  # half of a frame's time the shutter is open
        other = max(index - 1, 0)
        moved = 0.5 * (marks[other + 1] - marks[other]).mean(axis=0)
        drift = (float(moved[0]), float(moved[1]))
    return expose(picture, scene.sensor, drift, grain.next())


def _facts(person: Person, scene: Scene, motion: Motion, occluder: Occluder | None) -> dict[str, Any]:
    return {
        "person": person.seed,
        "tone": round(float(person.colours.tone), 2),
        "bearded": person.colours.bearded,
        "glasses": person.glasses is not None,
        "occluder": occluder is not None,
        "shadow": round(float(scene.lights.shadow), 2),
        "brightness": round(float(scene.lights.sky.mean() + scene.lights.colours[0].mean()), 2),
        "case": motion.case,
    }
