"""Interlaced video: pictures without combs, each at its place."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph

from made_videos import read, write_video
from mdhr_sdk.vision.sources.fields import LEAST_PX, Fields

SIZE = (96, 64)  # width, height


def bar(half_step: int) -> np.ndarray:
    """A light bar on dark ground, four pixels further to the right with every half step."""
    image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    image[8:-8, 8 + 4 * half_step : 24 + 4 * half_step] = 200
    return image


def woven(first: np.ndarray, second: np.ndarray, top_first: bool) -> np.ndarray:
    image = first.copy()
    image[top_first::2] = second[top_first::2]
    return image


def flagged(image: np.ndarray, field: str, pixels: str = "yuv420p") -> av.VideoFrame:
    """The picture as a decoder gives one of an interlaced ('tff', 'bff') or progressive ('prog') video."""
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixels)
    graph = Graph()
    ends = [graph.add_buffer(width=frame.width, height=frame.height, format=pixels, time_base=Fraction(1, 25))]
    graph.link_nodes(*ends, graph.add("setfield", field), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def grey(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="gray").astype(int)


def combs(image: np.ndarray) -> float:
    """How much lines differ from both neighbours in the same direction."""
    above, below = image[1:-1] - image[:-2], image[1:-1] - image[2:]
    return float(np.maximum(np.minimum(np.abs(above), np.abs(below)) * (above * below > 0), 0).mean())


@pytest.mark.parametrize("field", ["tff", "bff"])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv411p", "yuv422p10le", "uyvy422"])
def test_the_first_field_stays_and_combs_go(field, pixels):
    fields = Fields()
    for index in range(4):
        first, second = bar(2 * index), bar(2 * index + 1)
        frame = flagged(woven(first, second, field == "tff"), field, pixels)
        given, expected = grey(fields.whole(frame)), grey(flagged(first, "prog", pixels))
        rows = slice(field == "bff", None, 2)
        np.testing.assert_allclose(given[rows], grey(frame)[rows], atol=1)
        assert combs(grey(frame)) > 4 and combs(given) < 0.5
        assert np.abs(given - expected).mean() < 2


def test_what_lies_still_stays_as_it_is():
    fields, image = Fields(), bar(3)
    for _ in range(3):
        frame = flagged(image, "tff")
        given = grey(fields.whole(frame))
    assert np.abs(given - grey(frame)).max() <= 1


def test_progressive_and_tiny_pictures_are_not_touched():
    fields = Fields()
    for frame in (flagged(bar(0), "prog"), flagged(bar(0)[: LEAST_PX - 2], "tff")):
        assert fields.whole(frame) is frame


def test_nothing_of_what_was_before_stays_after_a_change():
    fields = Fields()
    fields.whole(flagged(bar(9), "tff"))
    small = flagged(bar(0)[:48], "tff")
    given = fields.whole(small)
    np.testing.assert_array_equal(grey(given), grey(Fields().whole(small)))
    fields.whole(flagged(bar(9)[:48], "prog"))
    np.testing.assert_array_equal(grey(fields.whole(small)), grey(given))


def test_an_interlaced_file_has_all_pictures_at_their_times(tmp_path):
    images = [woven(bar(2 * index), bar(2 * index + 1), top_first=False) for index in range(8)]
    says = {"x264-params": "bff=1"}
    path = write_video(tmp_path / "a.MTS", images, "libx264", format_name="mpegts", codec_options=says)
    frames, source = read(path)
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(8) / 25, atol=1e-3)
    assert (source.damaged, {frame.note for frame in frames}) == (0, {""})
    for index, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - bar(2 * index)).mean() < 4
        assert combs(frame.image[..., 1].astype(int)) < 1 < combs(images[index][..., 1].astype(int))
