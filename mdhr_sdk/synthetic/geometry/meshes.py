"""Rendered people as face meshes: what FaceMesh sees of them, with the true action units. One file a person."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...atomic import whole
from ...bounded import read_arrays
from ...errors import DataError, MissingDependencyError, install_hint, require
from ...modelfolder.strict import strict
from ...training.pool import check_stopped, spread
from ...vision import Face, align
from ...vision.faces.mediapipe.package import import_mediapipe
from ...vision.faces.mediapipe.same_thread import in_this_thread
from ...vision.faces.mediapipe.solutions import meshes_of
from ..dataset import PERSONS_A_SEED
from ..face.person import Person
from ..kit import FaceKit, Floats
from ..labelled import ClipOptions, render_at_rest, render_clip
from ..making import true_face
from ..picture.render import Renderer

FRAMES, SPACING_S, AT_REST = 6, 0.5, 2  # of each person: of a clip, and more at rest in the same scene
VARIED = 3  # one of so many people to train on has more frames, of talking, and is mostly seen as in print
TALKING = 2
PRINTED = 0.7
CROP_PX = 128
POINTS = 468  # of the mesh without irises
COLUMNS = {"fine": (POINTS, 3), "plain": (POINTS, 3), "labels": (15,), "intensities": (15,), "rest": ()}


@strict
class People:
    """Which people are rendered; those to test on are others than those to train on.

    Attributes:
        persons: to train on.
        test_persons: to test on.
        seed: no two seeds share a person.
        workers: processes.
    """

    persons: Annotated[int, Field(ge=1, le=PERSONS_A_SEED // 2)]
    test_persons: Annotated[int, Field(ge=1, le=PERSONS_A_SEED // 2)]
    seed: Annotated[int, Field(ge=0, le=2**32)] = 0
    workers: Annotated[int, Field(ge=1, le=1024)] = 1

    @property
    def train(self) -> range:
        """Seeds of the people to train on."""
        return range(self.seed * PERSONS_A_SEED, self.seed * PERSONS_A_SEED + self.persons)

    @property
    def test(self) -> range:
        """Seeds of the people to test on."""
        first = self.seed * PERSONS_A_SEED + PERSONS_A_SEED // 2
        return range(first, first + self.test_persons)


@dataclass(frozen=True, eq=False)
class Meshes:
    """Frames of rendered people.

    Attributes:
        fine, plain: (M, 468, 3) float32 in pixels: FaceMesh with and without its refinement of eyes and lips.
        labels: (M, 15) int8 in {0, 1, -1}, and intensities (M, 15) float32, in the order of `AUS`.
        rest: (M,) whether it is one of the frames at rest.
        person: (M,) seeds.
        crops: (M, 128, 128, 3) uint8 BGR, aligned.
    """

    fine: Floats
    plain: Floats
    labels: NDArray[np.int8]
    intensities: Floats
    rest: NDArray[np.bool_]
    person: NDArray[np.int64]
    crops: NDArray[np.uint8]


class MeshMaker:
    """Renders a person, given by the seed, and writes the meshes; one per process.

    With `varied` every third person talks too, and is mostly seen as in print.
    """

    def __init__(self, facekit: Path, out: Path, varied: bool) -> None:
        require("numba", "synthetic")
        self._options, self._out, self._varied = ClipOptions(FRAMES, SPACING_S), out, varied
        self._renderer = Renderer(FaceKit.load(facekit), self._options.size_px)
        mediapipe = import_mediapipe()
        if not hasattr(mediapipe, "solutions"):  # its Tasks API has no plain mesh
            raise MissingDependencyError(
                f"meshes of rendered faces need an older MediaPipe; {install_hint('solutions')}"
            )
        mesh = in_this_thread(mediapipe.solutions.face_mesh.FaceMesh)
        self._engines = [mesh(static_image_mode=True, max_num_faces=1, refine_landmarks=fine) for fine in (True, False)]

    def close(self) -> None:
        for engine in self._engines:
            engine.close()

    def __call__(self, seed: int) -> int:
        """Returns how many of the person's frames have a mesh that lies on the face."""
        person = Person.draw(self._renderer.kit, seed)
        clips = [render_clip(self._renderer, person, 0, self._options)]
        varied = self._varied and seed % VARIED == 0
        if varied:
            clips.append(render_clip(self._renderer, person, 1, ClipOptions(TALKING, SPACING_S), "talking"))
        resting, marks = render_at_rest(self._renderer, person, 0, self._options, AT_REST)
        frames = np.concatenate([*(clip.frames for clip in clips), resting])
        landmarks = np.concatenate([*(clip.landmarks_px for clip in clips), marks])
        if varied:
            frames = as_in_print(frames, np.random.default_rng((seed, 5)))
        labels, intensities = (
            np.concatenate([*parts, np.zeros((AT_REST, parts[0].shape[1]), parts[0].dtype)])
            for parts in ([clip.labels for clip in clips], [clip.intensities for clip in clips])
        )
        kept, fine, plain, crops = [], [], [], []
        for index, frame in enumerate(frames):
            check_stopped()
            both = self._find(frame, landmarks[index])
            if both is not None:
                kept.append(index)
                fine.append(both[0][:POINTS])
                plain.append(both[1][:POINTS])
                crops.append(align(frame, both[0], size_px=CROP_PX))
        arrays = {
            "fine": np.array(fine, np.float32).reshape(-1, POINTS, 3),
            "plain": np.array(plain, np.float32).reshape(-1, POINTS, 3),
            "labels": labels[kept],
            "intensities": intensities[kept],
            "rest": np.array([index >= len(frames) - AT_REST for index in kept], bool),
            "crops": np.array(crops, np.uint8).reshape(-1, CROP_PX, CROP_PX, 3),
        }
        with whole(file_of(self._out, seed), settled=False) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        return len(kept)

    def _find(self, frame: NDArray[np.uint8], marks: Floats) -> tuple[Floats, Floats] | None:
        rgb = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        fine, plain = (true_face([Face(mesh) for mesh in meshes_of(engine, rgb)], marks) for engine in self._engines)
        return None if fine is None or plain is None else (fine.landmarks_px, plain.landmarks_px)


def as_in_print(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Frames (T, S, S, 3) of one person as they are, or as a newspaper would show them: small, blurred, mostly grey."""
    if rng.random() >= PRINTED:
        return frames
    size, small = frames.shape[1], round(frames.shape[1] * rng.uniform(0.3, 0.8))
    grey, blur_px, quality = rng.random() < 0.8, rng.uniform(0.01, 0.8), int(rng.integers(35, 85))
    noise, gain, lift = rng.uniform(0, 6), rng.uniform(0.7, 1.3), rng.uniform(-25, 25)
    seen = []
    for frame in frames:
        image = cv2.GaussianBlur(cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA), (0, 0), blur_px)
        values = image.mean(axis=2, keepdims=True).repeat(3, axis=2) if grey else image.astype(np.float64)
        values = gain * (values - 128) + 128 + lift + rng.normal(0, noise, (small, small, 1))
        coded = cv2.imencode(".jpg", np.clip(values, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        seen.append(cv2.resize(decoded, (size, size), interpolation=cv2.INTER_LINEAR))
    return np.stack(seen).astype(np.uint8)


def file_of(out: Path, seed: int) -> Path:
    """Where the meshes of a person are."""
    return out / f"P{seed:09d}.npz"


def render_meshes(
    facekit: Path,
    out: Path,
    seeds: Sequence[int],
    workers: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    varied: bool = False,
) -> None:
    """Render the people that are missing; run it again after an interruption to go on.

    `varied` is for people to train on; see `MeshMaker`.

    Raises:
        DataError: no face model, or nothing can be written.
    """
    missing = [seed for seed in seeds if not file_of(out, seed).is_file()]
    progress(len(seeds) - len(missing), len(seeds))
    done = len(seeds) - len(missing)
    for _ in spread(functools.partial(MeshMaker, facekit, out, varied), missing, workers):
        done += 1
        progress(done, len(seeds))


def seeds_in(out: Path) -> tuple[list[int], list[int]]:
    """The people whose meshes are in a folder: to train on, and others, whose numbers are in the upper half.

    Raises:
        DataError: there are none of one kind.
    """
    seeds = sorted(int(path.stem[1:]) for path in out.glob("P*.npz") if path.stem[1:].isdigit())
    half = PERSONS_A_SEED // 2
    train, test = ([seed for seed in seeds if (seed % PERSONS_A_SEED < half) is first] for first in (True, False))
    if not train or not test:
        raise DataError(f"'{out}' holds meshes of {len(train)} people to train on and {len(test)} others; render both")
    return train, test


def load_meshes(out: Path, seeds: Sequence[int]) -> Meshes:
    """The frames of the people that are there, in the order of `seeds`.

    Raises:
        DataError: none is there, or a file is damaged.
    """
    found = [(seed, _arrays(file_of(out, seed))) for seed in seeds if file_of(out, seed).is_file()]
    if not found:
        raise DataError(f"'{out}' holds no meshes of people {seeds[0]} to {seeds[-1]}; render them first")
    person = np.concatenate([np.full(len(arrays["rest"]), seed, np.int64) for seed, arrays in found])
    joined = {name: np.concatenate([arrays[name] for _, arrays in found]) for name in (*COLUMNS, "crops")}
    return Meshes(person=person, **joined)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        arrays = read_arrays(path, (*COLUMNS, "crops"))
    except ValueError as error:
        raise DataError(f"'{path}' cannot be read: {error}; remove it and render again") from None
    if "crops" not in arrays or any(name not in arrays or arrays[name].shape[1:] != COLUMNS[name] for name in COLUMNS):
        raise DataError(f"'{path}' does not hold meshes; remove it and render again")
    return arrays
