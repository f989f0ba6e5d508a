"""People who were away: the same number again only for a face that looks as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.vision import Face, Frame, Scope
from mdhr_sdk.vision.looks import FACE_POINTS, Look
from mdhr_sdk.vision.returning import LOOKS, PEOPLE, Returning


def look_of(person: int, noise: float = 2.0, seed: int = 0, light: float = 1.0) -> Look:
    """A face of its own brightness at each point, a little different each time."""
    face = np.random.default_rng(person).uniform(60, 180, (FACE_POINTS, 1)) * (0.8, 0.9, 1.0)
    seen = face + np.random.default_rng(seed).normal(0, noise, face.shape)
    return Look(np.float32(light * np.clip(seen, 0, 255)))


def test_a_person_who_comes_back_has_the_same_number_and_a_stranger_a_new_one() -> None:
    people = Returning()
    assert people.numbers({0: look_of(0), 1: look_of(1)}, 0.0) == {0: 0, 1: 1}
    assert people.numbers({1: look_of(1)}, 5.0) == {1: 1}
    assert people.numbers({1: look_of(1), 2: look_of(0, seed=3), 3: look_of(3)}, 6.0) == {1: 1, 2: 0, 3: 3}
    assert people.numbers({}, 20.0) == {}
    assert people.numbers({4: look_of(3), 5: look_of(1)}, 30.0) == {4: 3, 5: 1}, "both were away"


def test_who_is_there_is_nobody_else() -> None:
    """Two pictures of one face in a frame, as a person and a mirror."""
    people = Returning()
    people.numbers({0: look_of(0)}, 0.0)
    assert people.numbers({0: look_of(0), 1: look_of(0, seed=1)}, 5.0) == {0: 0, 1: 1}
    assert people.numbers({2: look_of(0, seed=2)}, 5.5) == {2: 2}, "the others are gone for half a second only"


def test_a_face_is_recognised_in_its_first_two_seconds_or_never() -> None:
    people = Returning()
    people.numbers({0: look_of(0)}, 0.0)
    assert people.numbers({1: look_of(0, noise=60)}, 5.0) == {1: 1}, "turned away as it comes in"
    assert people.numbers({1: look_of(0)}, 6.9) == {1: 0}
    assert people.numbers({1: look_of(5)}, 7.0) == {1: 0}, "it stays that person's"
    people.numbers({2: look_of(0, noise=60, seed=5)}, 20.0)
    assert people.numbers({2: look_of(0)}, 22.1) == {2: 2}


def test_a_gap_that_no_frame_shows_is_seen_in_the_numbers() -> None:
    """After a break the next frame may show the same person: the frames before must not be scored with those after."""
    people = Returning()
    people.numbers({0: look_of(0)}, 0.0)
    assert people.numbers({1: look_of(0, seed=1)}, 5.0) == {1: 1}, "a frame without the number ends its stream"
    assert people.numbers({1: look_of(0, seed=2)}, 5.04) == {1: 0}


@pytest.mark.parametrize("look", [None, look_of(0, light=0.02), Look(np.full((FACE_POINTS, 3), 128, np.float32))])
def test_what_cannot_be_told_is_nobody(look: Look | None) -> None:
    people = Returning()
    people.numbers({0: look}, 0.0)
    assert people.numbers({1: look}, 5.0) == {1: 1}


def test_memory_is_bounded() -> None:
    people = Returning()
    for person in range(3 * PEOPLE):
        for step in range(12 if person == PEOPLE else 2):
            people.numbers({person: look_of(person, noise=40, seed=step)}, 100.0 * person + step)
    assert len(people._people) == PEOPLE and len(people._numbers) <= 2 * PEOPLE
    assert max(len(one.looks) for one in people._people.values()) <= LOOKS


class Shown:
    """Finds the face that stands in a frame's pixels, which is a made one; an empty frame has none."""

    seen = 0

    def __init__(self, mesh: np.ndarray) -> None:
        self.mesh = mesh

    def find(self, image: np.ndarray) -> list[Face]:
        return [Face(self.mesh)] if image.any() else []

    def reset(self) -> None: ...
    def close(self) -> None: ...


@pytest.mark.parametrize("asked", [True, False])
def test_a_person_keeps_the_number_only_if_asked(asked: bool, demo_path: Path) -> None:
    from mdhr_sdk.vision import list_sources

    with list_sources(demo_path)[0] as source:
        image = next(iter(source)).image
    angles = np.linspace(0, 2 * np.pi, 478)
    mesh = np.stack([160 + 90 * np.cos(7 * angles) * angles / 7, 160 + 90 * np.sin(7 * angles), 0 * angles], 1)
    finder = CropFinder(Shown(mesh.astype(np.float32)), Preprocessing(), scope=Scope(reidentify=asked))
    frame = Frame("clip", 0, 0.0, image)
    numbers = []
    for index, shown in enumerate([image, image, None, None, image]):
        pixels = np.zeros_like(image) if shown is None else shown
        found = finder.find(replace(frame, index=index, timestamp_s=1.5 * index, image=pixels))
        numbers.append([*found.faces])
    assert numbers == ([[0], [0], [], [], [0]] if asked else [[0], [0], [], [], [1]])
