"""The intensities of the bundled model on a real face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk import AUDetector, Results
from mdhr_sdk.vision import Scope

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector():
    with AUDetector.from_pretrained("edge", mode="stream", threads=1, max_faces=1, all_aus=True) as detector:
        yield detector


@pytest.fixture(scope="module")
def results(detector: AUDetector, demo_path: Path) -> Results:
    """The seconds of the clip in which the face raises its brows, then smiles."""
    return detector.predict(demo_path, scope=Scope(end_s=6.8))


def curve(results: Results, code: str, kind: str) -> np.ndarray:
    return np.array([getattr(frame.faces[0][code], kind) for frame in results], np.float64)


def test_only_aus_of_tiers_a_and_b_have_one_and_they_lie_in_0_to_5(detector: AUDetector, results: Results) -> None:
    told = detector.info.intensities
    assert {"AU12", "AU25"} <= set(told) and all(detector.info.tiers[code] in "AB" for code in told)
    for frame in results:
        for code, score in frame.faces[0].aus.items():
            assert (score.intensity is not None) == (code in told)
            assert score.intensity is None or 0 <= score.intensity <= 5


@pytest.mark.parametrize("code", ["AU01", "AU02", "AU12"])
def test_they_rise_with_what_is_seen(results: Results, code: str) -> None:
    strength, probability = (curve(results, code, kind) for kind in ("intensity", "probability"))
    assert strength.max() > 2 and np.median(strength[:25]) < 0.7, "at rest at first"
    assert np.corrcoef(strength, probability)[0, 1] > 0.8


def test_later_frames_change_nothing(detector: AUDetector, results: Results, demo_path: Path) -> None:
    """A stream is told frame by frame, so what was told stays as it is when more follows."""
    part = detector.predict(demo_path, scope=Scope(end_s=3.2))
    settled = len(part) - 16  # later ones lie in windows that the end cuts
    assert settled > 50
    for one, other in zip(part[:settled], results[:settled], strict=True):
        assert one.faces[0].aus == other.faces[0].aus
