"""Small faces in large pictures: the tiles, and what is found in them, whichever of MediaPipe's models looks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mdhr_sdk.vision import FaceMesher
from mdhr_sdk.vision.faces.tiles import STILL_MOST, cut_tile, merged, still_scales, too_fine, video_tiles


def crowd(frames: list[np.ndarray], columns: int = 6, rows: int = 4, cell: int = 200, side: int = 170) -> np.ndarray:
    image = np.full((rows * cell, columns * cell, 3), 100, np.uint8)
    for index in range(rows * columns):
        y, x = (cell * part + 15 for part in divmod(index, columns))
        image[y : y + side, x : x + side] = cv2.resize(frames[index], (side, side), interpolation=cv2.INTER_AREA)
    return image


@pytest.mark.parametrize(("width", "height"), [(640, 360), (1200, 800), (1080, 1920), (7680, 4320), (20000, 300)])
def test_a_face_of_a_third_of_a_tile_is_whole_in_one_and_their_number_is_bounded(width, height):
    tiles = [tile for tiles in still_scales(width, height) for tile in tiles]
    assert len(tiles) <= 1.6 * STILL_MOST
    rng = np.random.default_rng(0)
    for side in {tile[2] - tile[0] for tile in tiles if tile[3] - tile[1] == tile[2] - tile[0]}:
        of_size = np.array([tile for tile in tiles if tile[2] - tile[0] == side])
        assert (of_size >= 0).all() and (of_size[:, 2] <= width).all() and (of_size[:, 3] <= height).all()
        face = 0.33 * side
        for x, y in rng.uniform(0, (width - face, height - face), (200, 2)):
            inside = (of_size[:, :2] <= (x, y)).all(axis=1) & (of_size[:, 2:] >= (x + face, y + face)).all(axis=1)
            assert inside.any()


def test_ordinary_videos_have_no_tiles():
    assert video_tiles(640, 360) == video_tiles(854, 480) == []
    assert len(video_tiles(1920, 1080)) == 15


def test_beside_a_large_face_those_six_times_smaller_are_still_looked_for():
    for tiles in still_scales(4000, 3000):
        side = tiles[0][2] - tiles[0][0]
        most = 6 * 0.4 * side
        assert not too_fine(tiles, []) and not too_fine(tiles, [(0, 0, 0.99 * most, most)])
        assert too_fine(tiles, [(0, 0, 50, 50), (0, 0, 1.02 * most, most)])


def test_an_empty_tile_is_not_looked_at():
    image = np.full((400, 400, 3), 90, np.uint8)
    assert cut_tile(image, (0, 0, 200, 200)) is None
    image[:] = np.random.default_rng(0).integers(0, 255, image.shape)
    part = cut_tile(image, (0, 0, 200, 100))
    assert part is not None and part.shape == (100, 200, 3) and part.flags.c_contiguous


def test_a_part_of_a_face_at_a_tiles_edge_is_merged_with_the_whole():
    whole, half, other = (0.0, 0.0, 10.0, 10.0), (5.0, 0.0, 10.5, 10.0), (9.0, 0.0, 19.0, 10.0)
    assert merged([half, whole, other]) == [whole, other]


@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize(("engine", "least"), [("solutions", 24), ("tasks", 16)])
def test_a_crowd_is_found(request, demo_frames, engine, least, still):
    """The models of the wheel in a task file are weaker than those of MediaPipe's own task file, which finds all."""
    model_file = request.getfixturevalue("task_file") if engine == "tasks" else None
    with FaceMesher(24, still, model_file) as mesher:
        found = mesher.find(crowd(demo_frames))
        assert least <= len(found) == mesher.seen <= 24
    centres = np.array([np.add(face.box_px[:2], face.box_px[2:]) / 2 for face in found])
    assert len({tuple(cell) for cell in (centres // 200).astype(int).tolist()}) == len(found), "one in each place"


def test_of_a_crowd_as_many_as_are_wanted_are_given_and_all_are_counted(demo_frames, still_mesher):
    assert (len(still_mesher.find(crowd(demo_frames))), still_mesher.seen) == (10, 24)


@pytest.mark.parametrize("at", [(40, 30), (1900, 1200), (1111, 487)])
def test_one_small_face_in_a_large_picture_is_found(demo_frames, still_mesher, at):
    image = np.random.default_rng(0).integers(60, 90, (1350, 2400, 3), np.uint8)
    x, y = at
    image[y : y + 100, x : x + 100] = cv2.resize(demo_frames[0], (100, 100), interpolation=cv2.INTER_AREA)
    (face,) = still_mesher.find(image)
    assert x < face.box_px[0] < face.box_px[2] < x + 100 and y < face.box_px[1] < face.box_px[3] < y + 100
