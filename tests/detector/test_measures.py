"""Faces are measured where that is asked for, and left out below a quality, with a count."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mdhr_sdk import AUDetector
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.measures import MEASURES


@pytest.fixture(scope="module")
def detector():
    with AUDetector.from_pretrained("edge", max_faces=1) as one:
        yield one


def test_measures_are_off_by_default_and_change_no_score(detector, demo_frames):
    plain = detector.predict(demo_frames[:4])
    measured = detector.predict(demo_frames[:4], measures=True)
    assert plain[0].faces[0].measures is None and not set(MEASURES) & set(plain.to_dataframe())
    one = measured[0].faces[0].measures
    assert abs(one.yaw_deg) < 15 and abs(one.pitch_deg) < 15 and one.quality > 0.8 and one.reason == ""
    table = measured.to_dataframe()
    assert set(MEASURES) <= set(table) and (table["status"] == "ok").all()
    assert table["AU12_probability"].tolist() == plain.to_dataframe()["AU12_probability"].tolist()


def test_small_and_blurred_faces_say_so_and_can_be_left_out(detector, demo_frames):
    small = np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in demo_frames[:2]])
    results = detector.predict(small, measures=True)
    assert [face.status for frame in results for face in frame.faces] == ["too_small"] * 2
    soft = np.stack([cv2.GaussianBlur(one, (0, 0), 12) for one in demo_frames[:2]])
    results = detector.predict(soft, measures=True)
    assert [face.status for frame in results for face in frame.faces] == ["blurred"] * 2
    kept = detector.predict(demo_frames[:2], min_quality=0.5)
    assert [len(frame.faces) for frame in kept] == [1, 1] and kept[0].untrusted == 0
    left = detector.predict(demo_frames[:2], min_quality=1.0)
    assert [frame.faces for frame in left] == [(), ()] and [frame.untrusted for frame in left] == [1, 1]
    assert [row["status"] for frame in left for row in frame.rows()] == ["low_quality"] * 2


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_quality_out_of_range_is_refused(detector, demo_frames, value):
    with pytest.raises(ConfigError, match=r"min_quality must be in \[0, 1\]"):
        detector.predict(demo_frames[:1], min_quality=value)
    with pytest.raises(ConfigError, match=r"min_quality must be in \[0, 1\]"):
        detector.stream(demo_frames[:1], min_quality=value)
