"""Overlays: what is drawn, and the video and still files."""

from __future__ import annotations

import dataclasses
import sys

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError, MissingDependencyError, OutputError
from mdhr_sdk.outputs import OverlaySink, annotate
from mdhr_sdk.outputs.pictures import drawing, overlay, panel

BLUE, ORANGE, RED, AMBER = (246, 130, 59), (22, 115, 249), (38, 38, 220), (11, 158, 245)


def count(image: np.ndarray, colour: tuple[int, int, int], tolerance: int = 24) -> int:
    return int((np.abs(image.astype(int) - colour).max(axis=2) <= tolerance).sum())


def test_annotate_draws_on_a_copy(frame):
    result = frame(0, size=(320, 320))
    before = result.image.copy()
    drawn = annotate(result.image, result)
    assert drawn.shape == (320, 320, 3) and drawn.dtype == np.uint8
    assert np.array_equal(result.image, before)
    assert count(drawn, BLUE) > 200
    assert count(drawn, ORANGE) == 0


def test_each_track_has_its_colour(frame, face):
    faces = (face(0, np.zeros(12), (10, 60, 90, 160)), face(1, np.zeros(12), (200, 60, 280, 160)))
    result = dataclasses.replace(frame(0, size=(320, 480)), faces=faces)
    drawn = annotate(result.image, result)
    assert count(drawn[60:160, 5:95], BLUE) > 50 and count(drawn[60:160, 195:285], ORANGE) > 50


def test_bars_are_as_long_as_the_probability_and_coloured_by_the_decision(frame, face):
    def bar(probability: float, colour: tuple[int, int, int]) -> int:
        scores = np.zeros(12)
        scores[0] = probability
        result = dataclasses.replace(frame(0, size=(720, 1280)), faces=(face(0, scores, (100, 200, 300, 500)),))
        drawn = annotate(result.image, result)[200:220, 320:480]  # right of the strip in the track's colour
        return int((np.abs(drawn.astype(int) - colour).max(axis=2) <= 24).any(axis=0).sum())

    assert bar(1.0, BLUE) == pytest.approx(2 * bar(0.5, BLUE), abs=4)
    assert bar(1.0, BLUE) > 50
    assert bar(0.49, BLUE) == 0


@pytest.mark.parametrize("faces", [0, 1])
def test_every_frame_of_an_untrained_model_says_so(frame, faces):
    trained, untrained = (frame(0, faces, trained=kind, size=(320, 320)) for kind in (True, False))
    assert count(annotate(untrained.image, untrained)[:30], RED) > 1000
    assert count(annotate(trained.image, trained)[:30], RED) == 0


@pytest.mark.parametrize(("size", "rows"), [((320, 320), 25), ((720, 1280), 40), ((160, 90), 40)])
@pytest.mark.parametrize("faces", [0, 1])
def test_what_a_model_was_trained_on_is_a_small_line_and_no_warning(frame, rated, size, rows, faces):
    plain, told = frame(0, faces, size=size), rated(0, faces, size=size)
    dark = (28, 20, 16)
    images = [annotate(one.image, one) for one in (plain, told)]
    line = [count(image[-rows:, size[1] // 2 :], dark, tolerance=60) for image in images]
    assert line[1] > line[0] + 200
    assert count(images[1], RED) == 0


def test_tiers_stand_after_the_codes(frame, rated, face):
    plain, told = frame(0, 1, size=(720, 1280)), rated(0, 1, size=(720, 1280))

    def panel(result) -> int:
        drawn = annotate(result.image, result)[: -2 * 13 - 20]
        return int((np.abs(drawn.astype(int) - 128).max(axis=2) > 8).any(axis=0).sum())

    assert panel(told) > panel(plain) + 8, "the panel is wider by a letter"


def test_the_tag_says_what_the_baseline_did(frame):
    def tag(state: str) -> int:
        result = frame(0, size=(720, 1280))
        result = dataclasses.replace(result, faces=(dataclasses.replace(result.faces[0], baseline=state, aus={}),))
        return count(annotate(result.image, result), BLUE, tolerance=60)

    assert tag("off") < min(tag("applied"), tag("neutral")) and max(tag("applied"), tag("neutral")) < tag("missing")


def test_a_frame_without_a_face_says_so(frame):
    without, found = frame(0, faces=0, size=(320, 320)), frame(0, size=(320, 320))
    assert count(annotate(without.image, without)[-25:], AMBER) > 100
    assert count(annotate(found.image, found)[-25:], AMBER) == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    box=st.tuples(*[st.floats(-1e4, 1e4)] * 4),
    faces=st.integers(0, 5),
    score=st.floats(0, 1) | st.just(float("nan")),
)
def test_any_frame_and_box_can_be_drawn(frame, face, size, box, faces, score):
    found = tuple(face(track, np.full(12, score), box) for track in range(faces))
    result = dataclasses.replace(frame(0, trained=False, size=size), faces=found)
    assert annotate(result.image, result).shape == (*size, 3)


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)])
def test_other_images_are_refused(frame, image):
    with pytest.raises(InputError, match="BGR image"):
        annotate(image, frame(0))


def test_without_opencv_it_is_one_line(tmp_path, frame, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    for draw in (frame(0, size=(64, 64)).annotate, lambda: OverlaySink(tmp_path / "clip.mp4")):
        with pytest.raises(MissingDependencyError, match="this needs OpenCV, which is not installed; run: pip install"):
            draw()


def test_a_still_is_the_annotated_frame(tmp_path, frame):
    result = frame(0, size=(101, 133))
    with OverlaySink(tmp_path / "still.PNG") as sink:
        sink.write(result)
    assert np.array_equal(cv2.imread(str(tmp_path / "still.PNG")), annotate(result.image, result))


def test_a_still_that_its_format_cannot_hold_is_one_line(tmp_path, frame):
    told = "cannot hold a side of 65510 pixels"
    with pytest.raises(OutputError, match=told), OverlaySink(tmp_path / "still.jpg") as sink:
        sink.write(frame(0, faces=0, size=(4, 65510)))


def test_a_still_holds_one_frame(tmp_path, frame):
    with pytest.raises(OutputError, match="holds one frame"), OverlaySink(tmp_path / "still.jpg") as sink:
        sink.write(frame(0, size=(64, 64)))
        sink.write(frame(1, size=(64, 64)))


@settings(max_examples=60, deadline=None)
@given(
    x=st.integers(-480, 1120), y=st.integers(-480, 800), wide=st.integers(0, 640), high=st.integers(0, 480),
    radius=st.integers(0, 320),
)  # fmt: skip
def test_what_reaches_beyond_the_image_is_cut_and_the_rest_is_where_it_belongs(x, y, wide, high, radius):
    """The same shapes, in sixteenths of a pixel, on a larger picture, cut to the small one."""
    x, y, wide, high, radius = (value / 16 for value in (x, y, wide, high, radius))
    small, large = np.full((48, 64, 3), 40, np.uint8), np.full((148, 164, 3), 40, np.uint8)
    for image, offset in ((small, 0), (large, 50)):
        box = (x + offset, y + offset, x + offset + wide, y + offset + high)
        drawing.fill(image, box, (10, 200, 90), radius, 0.7)
        drawing.text(image, round(x) + offset, round(y) + offset, "AU12", 11, (250, 250, 250))
    np.testing.assert_allclose(small, large[50:98, 50:114], atol=1)


@settings(max_examples=30, deadline=None)
@given(x=st.integers(-60, 90), y=st.integers(-60, 60), size=st.integers(6, 14), occurs=st.booleans())
def test_what_is_laid_on_as_a_layer_is_what_would_have_been_drawn(x, y, size, occurs):
    rng = np.random.default_rng(0)
    direct = rng.integers(0, 256, (48, 64, 3), np.uint8)
    layered, sheet = direct.copy(), np.zeros((40, 80, 4), np.float32)
    for image, left, top in ((direct, x, y), (sheet, 0, 0)):
        drawing.fill(image, (left, top, left + 57.5, top + 35.25), (28, 20, 16), 8, 0.62)
        drawing.fill(image, (left + 3, top + 20.5, left + 40, top + 27.5), (92, 80, 72), 3.5, 0.8)
        drawing.text(image, left + 3, top + 10.25, "AU12 A", size, (255, 255, 255), occurs)
    drawing.lay(layered, x, y, drawing.Layer.of(sheet))
    np.testing.assert_allclose(layered.astype(int), direct.astype(int), atol=3)


@pytest.mark.parametrize("size", [9, 13, 20])
def test_a_number_that_counts_looks_as_if_it_were_drawn_as_a_whole(size):
    one, other = (np.zeros((40, 400, 3), np.uint8) for _ in range(2))
    for image, counts in ((one, True), (other, False)):
        drawing.text(image, 5, 20, "frame 137   5.48 s", size, (255, 255, 255), counts=counts)
    np.testing.assert_array_equal(one, other)


def test_a_number_that_counts_keeps_its_width_and_needs_no_new_glyph():
    numbers = [f"frame {number}   {number / 100:.2f} s" for number in range(100, 1000)]
    (width,) = {drawing.text_width(words, 9, counts=True) for words in numbers[:10]}
    known = drawing._spaced.cache_info().misses
    assert {drawing.text_width(words, 9, counts=True) for words in numbers} == {width}
    assert drawing._spaced.cache_info().misses <= known + 10


def test_panels_and_chips_are_drawn_once_whoever_acts(frame, face):
    """Also where decisions change from frame to frame: rows come from one panel or the other."""
    rng, drawn = np.random.default_rng(0), (panel._empty, overlay._label)
    for index in range(30):
        faces = tuple(face(track, rng.uniform(size=12), (100 + 300 * track, 200, 300, 500)) for track in range(2))
        result = dataclasses.replace(frame(0, size=(720, 1280)), faces=faces)
        annotate(result.image, result)
        misses = [one.cache_info().misses for one in drawn]
        if index == 3:
            known = misses
    assert misses == known


def test_rows_of_a_panel_are_as_their_own_decision_has_them(frame, face):
    """A panel of mixed decisions is, row by row, one in which all AUs occur or none."""

    def rows(scores: np.ndarray) -> np.ndarray:
        result = dataclasses.replace(frame(0, size=(720, 1280)), faces=(face(0, scores, (100, 200, 300, 500)),))
        return annotate(result.image, result)[190:500, 306:420]

    occurs = np.tile([1.0, 1.0, 0.4, 0.4, 0.4, 1.0], 2)
    mixed, active, quiet = rows(occurs), rows(np.ones(12)), rows(np.full(12, 0.4))
    same = [(mixed == other).all(axis=(1, 2)) for other in (active, quiet)]
    assert (same[0] | same[1]).all()
    changes = int((np.diff((same[0] & ~same[1]).astype(int)) == 1).sum())
    assert changes == 6, "rows that occur"


def test_words_that_the_font_lacks_are_drawn_as_boxes(frame):
    one = frame(0, size=(320, 640))
    with pytest.warns(UserWarning, match="missing from font"):
        result = dataclasses.replace(one, model=dataclasses.replace(one.model, trained_on="\u65e5\u672c\u8a9e\u30c7"))
        drawn = annotate(result.image, result)
    assert not np.array_equal(drawn, annotate(one.image, one))
