"""From frames to tracks and crops, on real pixels: who is the same person, and what ends a track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from mdhr_sdk.deploy.parity.footage import face_clips
from mdhr_sdk.modelfolder import Preprocessing
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.vision import FaceMesher, Frame, list_sources

PERIOD_S = 0.04


@pytest.fixture(scope="module")
def mesher() -> Iterator[FaceMesher]:
    with FaceMesher() as mesher:
        yield mesher


def tracks(mesher: FaceMesher, images: Sequence[np.ndarray], period_s: float = PERIOD_S) -> list[list[int]]:
    """The track ids of each frame, from left to right."""
    mesher.reset()
    finder, ids = CropFinder(mesher, Preprocessing()), []
    for index, image in enumerate(images):
        faces = finder.find(Frame(image, index, index * period_s, "array")).faces
        ids.append(sorted(faces, key=lambda track_id: faces[track_id].box_px))
    return ids


def stranger(image: np.ndarray) -> np.ndarray:
    """Someone else: other skin, a longer face, light from the other side."""
    rows = np.clip((np.arange(320) - 160) / 1.15 + 160, 0, 319).astype(int)
    light = np.linspace(1.1, 0.3, 320, dtype=np.float32)[None, :, None]
    return np.clip(image[rows][:, :, ::-1] * light, 0, 255).astype(np.uint8)


def hidden(image: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    image = image.copy()
    image[y0:y1, x0:x1] = 120
    return image


def test_another_person_in_the_same_place_is_another_track_and_the_neighbour_goes_on(mesher, demo_frames):
    def pair(index: int) -> np.ndarray:
        left = demo_frames[index] if index < 6 else stranger(demo_frames[index])
        return np.hstack([left, demo_frames[index + 20]])

    assert tracks(mesher, [pair(index) for index in range(12)]) == [[0, 1]] * 6 + [[2, 1]] * 6


@pytest.mark.parametrize("gain", [0.5, 1.3])
def test_other_light_is_the_same_person(mesher, demo_frames, gain):
    lit = np.clip(gain * demo_frames[6:12].astype(np.float32), 0, 255).astype(np.uint8)
    assert tracks(mesher, [*demo_frames[:6], *lit]) == [[0]] * 12


@pytest.mark.parametrize("gain, offset", [(2.2, 40.0), (1.6, 20.0), (np.linspace(0.35, 1.3, 320)[None, :, None], 0.0)])
def test_a_flash_or_a_lamp_at_the_side_is_the_same_person(mesher, demo_frames, gain, offset):
    lit = np.clip(gain * demo_frames[6:8] + offset, 0, 255).astype(np.uint8)
    found = tracks(mesher, [*demo_frames[:6], *lit, *demo_frames[8:12]])
    assert [ids for ids in found if ids] == [[0]] * len([ids for ids in found if ids]) and found[-1] == [0]


def test_a_hand_over_the_whole_face_is_no_other_person(mesher, demo_frames):
    def covered(image: np.ndarray) -> np.ndarray:
        rows, columns = np.ogrid[:320, :320]
        hand = ((rows - 175) / 95) ** 2 + ((columns - 160) / 80) ** 2 < 1
        return np.where(hand[..., None], np.array([120, 150, 200]), image).astype(np.uint8)

    images = [*demo_frames[:5], *map(covered, demo_frames[5:20]), *demo_frames[20:25]]
    assert {track for ids in tracks(mesher, images) for track in ids} == {0}


@pytest.mark.parametrize("step", [1, 5])
def test_expressions_and_blinks_are_the_same_person(mesher, demo_frames, step):
    found = tracks(mesher, demo_frames[::step], step * PERIOD_S)
    assert found == [[0]] * len(found)


@pytest.mark.parametrize("fps", [25, 30])
def test_a_face_hidden_for_most_of_a_second_keeps_its_id_also_where_it_has_moved(mesher, demo_frames, fps):
    gone = [hidden(image, 30, 20, 280, 310) for image in demo_frames[5 : 5 + int(0.9 * fps)]]
    back = [np.roll(image, 30, axis=1) for image in demo_frames[40:44]]
    assert tracks(mesher, [*demo_frames[:5], *gone, *back], 1 / fps) == [[0]] * 5 + [[]] * len(gone) + [[0]] * 4


def test_a_face_hidden_for_longer_is_a_new_track(mesher, demo_frames):
    gone = [hidden(demo_frames[0], 30, 20, 280, 310)] * 27
    assert tracks(mesher, [*demo_frames[:3], *gone, *demo_frames[3:5]])[-2:] == [[1]] * 2


def test_a_covered_mouth_is_the_same_person(mesher, demo_frames):
    covered = [hidden(image, 100, 200, 220, 290) for image in demo_frames[5:10]]
    assert tracks(mesher, [*demo_frames[:5], *covered, *demo_frames[10:15]]) == [[0]] * 15


def test_a_scene_cut_begins_new_tracks(mesher, demo_frames):
    turned = [image[:, ::-1] ^ np.uint8(255) * (np.arange(320) < 90)[None, :, None] for image in demo_frames[:4]]
    assert tracks(mesher, [*demo_frames[:4], *turned]) == [[0]] * 4 + [[1]] * 4


def test_a_frame_that_breaks_begins_new_tracks_and_may_start_the_clock_again(mesher, demo_frames):
    mesher.reset()
    finder = CropFinder(mesher, Preprocessing())
    times_s, breaks = [5.0, 5.04, 0.0, 0.04], [False, False, True, False]
    found = [
        finder.find(Frame(image, index, at_s, "array", breaks=at))
        for index, (image, at_s, at) in enumerate(zip(demo_frames[:4], times_s, breaks, strict=True))
    ]
    assert [[*one.faces] for one in found] == [[0], [0], [1], [1]]


def test_the_largest_face_is_cropped_for_who_wants_one(mesher, demo_frames):
    mesher.reset()
    finder = CropFinder(mesher, Preprocessing(size_px=96))
    small = np.full((320, 200, 3), 90, np.uint8)
    small[60:220, 20:180] = demo_frames[20][::2, ::2]
    both = finder.largest(Frame(np.hstack([small, demo_frames[0]]), 0, 0.0, "array"))
    mesher.reset()
    alone = CropFinder(mesher, Preprocessing(size_px=96)).largest(Frame(demo_frames[0], 0, 0.0, "array"))
    assert both is not None and alone is not None and both.shape == (96, 96, 3)
    assert np.abs(both.astype(int) - alone).mean() < 6
    assert finder.largest(Frame(np.zeros_like(demo_frames[0]), 1, 0.04, "array")) is None


def test_faces_beyond_the_limit_are_told(demo_frames):
    with FaceMesher(max_faces=1) as mesher:
        found = CropFinder(mesher, Preprocessing()).find(Frame(np.hstack([*demo_frames[[0, 20]]]), 0, 0.0, "array"))
    assert (len(found.faces), found.seen) == (1, 2)


def test_no_clip_of_calibration_footage_holds_a_cut(demo_frames):
    turned = [image[:, ::-1] ^ np.uint8(255) * (np.arange(320) < 90)[None, :, None] for image in demo_frames[6:16]]
    (source,) = list_sources(np.stack([*demo_frames[:6], *turned]))
    clips = [clip.indices for clip in face_clips(source, 4, Preprocessing())]
    assert clips == [[0, 1, 2, 3], [6, 7, 8, 9], [10, 11, 12, 13]]
