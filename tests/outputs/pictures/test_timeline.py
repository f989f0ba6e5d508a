"""Timelines: the curves are the scores, gaps are gaps, and long videos keep their peaks."""

from __future__ import annotations

import dataclasses
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError
from mdhr_sdk.outputs import draw_timeline
from mdhr_sdk.outputs.files import Files, SourceFiles
from mdhr_sdk.outputs.pictures import trace as traces
from mdhr_sdk.outputs.pictures.series import Series, reduced, spread, spread_flags, spread_time
from mdhr_sdk.outputs.pictures.timeline import PITCH, draw_trace, save_timeline
from mdhr_sdk.outputs.pictures.trace import Trace


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]


def words(figure) -> str:
    texts = [text.get_text() for panel in figure.subfigs for text in panel.texts]
    texts += [text.get_text() for axes in figure.axes for text in axes.texts]
    return "\n".join(texts)


def rows(axes, codes, values) -> list[np.ndarray]:
    """What was drawn at all frames, cut into the rows of the AUs, from their own 0."""
    bases = PITCH * np.arange(len(codes))[::-1]
    return [part[:-1] - base for part, base in zip(np.split(values, len(codes)), bases, strict=True)]


def test_a_row_per_au_with_the_scores_as_its_curve(frames, codes):
    figure = draw_timeline(frames)
    (axes,) = figure.axes
    (curve,) = axes.lines
    for code, row in zip(codes, rows(axes, codes, curve.get_ydata()), strict=True):
        want = [frame.faces[0][code].probability if frame.faces else np.nan for frame in frames]
        np.testing.assert_allclose(row[1::2], want, atol=1e-12)
    times = np.split(curve.get_xdata(), len(codes))
    np.testing.assert_allclose([part[1:-1:2] for part in times], [[frame.timestamp_s for frame in frames]] * len(codes))
    assert "clip.mp4" in words(figure) and "AU12" in words(figure) and "lip corner puller" in words(figure)


def test_every_row_has_lines_where_the_axis_has_ticks(frames, codes):
    (axes,) = draw_timeline(frames).axes
    ticks = axes.get_xticks()
    (lines,) = [one for one in axes.collections if len(one.get_paths()) == len(ticks) * len(codes)]
    np.testing.assert_allclose([path.vertices[0, 0] for path in lines.get_paths()], np.tile(ticks, len(codes)))


def test_a_curve_per_track_and_a_legend(frame, codes):
    figure = draw_timeline([frame(index, faces=3) for index in range(5)])
    assert len(figure.axes[0].lines) == 3
    assert legend(figure) == ["face 0", "face 1", "face 2"]
    assert legend(draw_timeline([frame(index, faces=11) for index in range(3)]))[-1] == "and 3 more"


def test_an_untrained_model_is_named_in_red(frame):
    for frames in ([frame(0, trained=False)], [frame(0, trained=False), frame(1, trained=False)]):
        assert "untrained model: scores mean nothing" in words(draw_timeline(frames))
    assert "scores mean nothing" not in words(draw_timeline([frame(0)]))


def test_tiers_and_what_the_model_was_trained_on_are_told(rated, codes):
    for frames in ([rated(0)], [rated(0), rated(1)]):
        text = words(draw_timeline(frames))
        assert "AU12 A" in text and "AU01 A" in text and "AU24 B" in text
        assert "(trained on synthetic faces only)" in text and "A the most" in text
        assert "scores mean nothing" not in text


def test_neutral_seconds_are_shaded(frame):
    def of(index: int, state: str):
        faces = tuple(dataclasses.replace(face, baseline=state) for face in frame(index).faces)
        return dataclasses.replace(frame(index), faces=faces)

    figure = draw_timeline([of(index, "neutral" if index < 4 else "applied") for index in range(9)])
    assert legend(figure) == ["probability", "occurs", "neutral reference"]
    spans = figure.axes[0].containers[-1]
    assert {(round(bar.get_x(), 9), round(bar.get_width(), 9)) for bar in spans} == {(0, 3 / 25)}
    assert len(draw_timeline([frame(0), frame(1)]).axes[0].containers) == 1  # the ground of the rows


def test_aus_that_are_off_have_no_row_where_there_is_no_face(rated, codes):
    frames = [dataclasses.replace(one, model=dataclasses.replace(one.model, off=("AU06", "AU15")))
              for one in (rated(index, faces=0) for index in range(3))]  # fmt: skip
    figure = draw_timeline(frames)
    assert len(figure.axes[0].containers[0]) == len(codes) - 2 and "AU06" not in words(figure)


def test_without_any_face_there_are_rows_and_no_curve(frame, codes):
    figure = draw_timeline([frame(index, faces=0) for index in range(5)])
    assert len(figure.axes[0].containers[0]) == len(codes)
    assert not figure.axes[0].lines and legend(figure) == ["no face"]
    model = dataclasses.replace(frame(0).model, label_set="mine")  # whose AUs nobody knows
    nothing = draw_timeline([dataclasses.replace(frame(index, faces=0), model=model) for index in (0, 1)])
    assert len(nothing.axes[0].containers[0]) == 1


def test_a_still_is_a_heat_map_with_numbers(frame, codes):
    result = frame(0, faces=2)
    (axes,) = draw_timeline([result]).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count(f"{result.faces[0]['AU12'].probability:.2f}") >= 2
    assert "face 1" in texts and "AU12" in texts
    assert axes.collections[0].get_array().shape == (2, len(codes))


def test_several_stills_share_a_heat_map_and_videos_have_their_own_block(frame, codes):
    stills = [frame(0, faces=count, source=f"{count}.jpg") for count in (1, 0, 2)]
    video = [frame(index, source="b.mp4") for index in range(4)]
    figure = draw_timeline(stills + video)
    assert len(figure.subfigs) == 2
    assert len(figure.axes) == 2
    assert "3 images" in words(figure) and "no face found" in words(figure)


@pytest.mark.parametrize("name", ["a$b$c_{.mp4", "x" * 300 + ".mp4", "日本\x1b[31m\n.mp4"])
def test_any_file_name_is_a_title(tmp_path, frame, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_timeline([frame(index, source=name) for index in range(2)], tmp_path / "a.png")


def test_no_frame_and_too_many_videos_are_refused(frame):
    with pytest.raises(InputError, match="at least one frame"):
        draw_timeline([])
    with pytest.raises(InputError, match="for_source"):
        draw_timeline([frame(index, source=f"{name}.mp4") for name in range(13) for index in range(2)])


def test_results_of_two_models_are_refused(frame):
    other = dataclasses.replace(frame(1).faces[0], aus={"AU05": frame(1).faces[0]["AU01"]})
    with pytest.raises(InputError, match="same AUs"):
        draw_timeline([frame(0), dataclasses.replace(frame(1), faces=(other,))])


def test_a_face_seen_in_one_frame_is_half_a_step_wide_on_both_sides():
    value, flags = np.array([np.nan, 0.7, np.nan]), np.array([False, True, False])
    np.testing.assert_allclose(spread_time(np.array([0.0, 1.0, 2.0])), [-0.5, 0, 0.5, 1, 1.5, 2, 2.5])
    np.testing.assert_allclose(spread(value), [np.nan, np.nan, 0.7, 0.7, 0.7, np.nan, np.nan])
    assert spread_flags(flags).tolist() == [False, False, True, True, True, False, False]


def test_gaps_of_a_track_are_not_a_number(frames, codes):
    tracks, absent = Trace(frames).series()
    series = tracks[0]
    assert np.isnan(series.probability[20:30]).all() and not series.occurrence[20:30].any()
    assert np.isfinite(np.delete(series.probability, np.s_[20:30], axis=0)).all()
    assert absent.occurrence[:, 0].tolist() == [20 <= index < 30 for index in range(60)]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=60),
    frames_per_bin=st.integers(1, 20),
)
def test_reduction_keeps_peaks_and_decisions(values, frames_per_bin):
    probability = np.array(values)[:, None]
    occurrence = probability > 0.5
    small = reduced(Series(np.arange(len(values)) / 25, probability, occurrence, probability), frames_per_bin)
    np.testing.assert_array_equal(small.intensity, small.probability)
    assert len(small.time_s) == len(small.probability) == len(small.occurrence)
    assert (np.diff(small.time_s) >= 0).all()
    assert small.occurrence.any() == occurrence.any()
    if np.isfinite(probability).any():
        assert np.nanmax(small.probability) == np.nanmax(probability)
        assert np.nanmin(small.probability) == np.nanmin(probability)
    else:
        assert np.isnan(small.probability).all()


def scored(frame, index: int, faces: dict[int, float | None]):
    """A frame whose faces have this probability of every AU; as in a film, a face is there or not."""
    (known,) = frame(0).faces
    found = tuple(
        dataclasses.replace(
            known, track_id=track,
            aus={code: dataclasses.replace(one, probability=value, occurrence=value >= 0.5, intensity=5 * value)
                 for code, one in known.aus.items()},
        )
        for track, value in faces.items() if value is not None
    )  # fmt: skip
    return dataclasses.replace(frame(0), index=index, timestamp_s=index / 25, faces=found)


@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(st.tuples(*[st.none() | st.floats(0, 1)] * 2), min_size=2, max_size=150),
    most=st.sampled_from([4, 8, 20]),
)
def test_a_trace_keeps_each_peak_near_its_time_however_long_it_is(frame, scores, most):
    frames = [scored(frame, index, dict(enumerate(pair))) for index, pair in enumerate(scores)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traces, "MOST", most)
        trace = Trace(frames)
        tracks, absent = trace.series()
    assert len(absent.time_s) < most + 4 and (np.diff(absent.time_s) >= 0).all() and absent.time_s[0] == 0
    step_s = 2 * (len(frames) / len(absent.time_s) + 1) / 25
    for track in (0, 1):
        known = {index / 25: pair[track] for index, pair in enumerate(scores) if pair[track] is not None}
        assert (track in tracks) == bool(known)
        if known:
            got = tracks[track]
            for found, want in ((np.nanmax(got.probability), max), (np.nanmin(got.probability), min)):
                assert found == want(known.values())
            assert np.nanmax(got.intensity) == 5 * max(known.values())
            assert got.occurrence.any() == (max(known.values()) >= 0.5)
            place = np.nanargmax(got.probability[:, 0])
            assert any(abs(got.time_s[place] - s) <= 2 * step_s for s, v in known.items() if v == max(known.values()))
    assert absent.occurrence.any() == any(pair == (None, None) for pair in scores)


def test_the_memory_of_a_timeline_does_not_grow_with_its_video(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "MOST", 40)
    files = SourceFiles(
        tmp_path / "a", tuple(frame(0).faces[0].aus), Files(overlay=False, formats=("jsonl",)), 25.0, False
    )
    cycle, taken = [frame(index % 20, faces=2) for index in range(20)], []
    tracemalloc.start()
    for index in range(401):
        files.write(dataclasses.replace(cycle[index % 20], index=index, timestamp_s=index / 25))
        if index % 100 == 0:
            taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    files.close(complete=True)
    assert max(taken) < 300_000  # 400 frames of results are 2.5 MB
    assert taken[-1] < taken[1] + 100_000, taken
    files.draw(complete=True)
    assert files.failures == [] and (tmp_path / "a_timeline.png").stat().st_size > 10_000


def test_of_a_crowd_the_briefest_faces_are_counted_and_not_drawn(frame, monkeypatch):
    monkeypatch.setattr(traces, "MOST_TRACKS", 5)
    trace = Trace()
    for index in range(500):  # a face that stays, and one that is another one every second
        trace.add(scored(frame, index, {0: 0.5, 1 + index // 25: 0.1 if index % 25 < 20 - index // 25 else None}))
    tracks, _ = trace.series()
    assert trace.left_out and len(tracks) + trace.left_out == 21 and 0 in tracks and len(tracks) <= 13
    assert legend(draw_trace(trace))[-2] == f"and 13 more, {trace.left_out} brief ones not drawn"


@pytest.mark.slow
def test_a_long_video_is_drawn_with_as_many_points_as_the_page_can_show(frame, tmp_path):
    cycle = [frame(index) for index in range(50)]
    frames = [dataclasses.replace(cycle[index % 50], index=index, timestamp_s=index / 25) for index in range(100_000)]
    figure = draw_timeline(frames)
    figure.savefig(tmp_path / "long.png")
    assert len(figure.axes[0].lines[0].get_xdata()) < 5000 * len(figure.axes[0].containers[0])
