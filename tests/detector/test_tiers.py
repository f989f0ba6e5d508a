"""AUs of tier C are off: not a score of them anywhere, unless all are asked for."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import CODES, CONFIG, INFO, PATTERN, FakeMesher, FakeSession, expected, video
from mdhr_sdk import AUDetector
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.modelfolder.selection import select

TIERS = ("A", "C", "B", "A", "B", "A", "C", "A")  # AU02 and AU25 are off
RATED = dataclasses.replace(CONFIG, reliability=TIERS, thresholds=tuple(i / 10 for i in range(1, 9)))
ON = tuple(code for code, tier in zip(CODES, TIERS, strict=True) if tier != "C")


@pytest.mark.parametrize("all_aus", [False, True])
def test_results_hold_the_aus_that_are_on(session: FakeSession, meshers: list[FakeMesher], no_cuts, all_aus: bool):
    detector = AUDetector(RATED, session, INFO, all_aus=all_aus)
    codes = CODES if all_aus else ON
    assert detector.codes == codes == tuple(detector.thresholds)
    results = detector.predict(video(PATTERN))
    assert results.codes == codes and results.model.off == (() if all_aus else ("AU02", "AU25"))
    for frame, wanted in zip(results, expected(PATTERN), strict=True):
        assert frame.model == detector.info == results.model
        for face in frame.faces:
            assert tuple(face.aus) == codes
            for code in codes:
                place = CODES.index(code)
                probability = float(wanted[face.track_id][place])
                assert face[code].probability == probability
                assert face[code].occurrence == (probability >= (place + 1) / 10), "by the threshold of its own place"
            if not all_aus:
                with pytest.raises(KeyError, match="all_aus=True"):
                    face["AU02"]
    assert [name for name in results.to_dataframe() if name.endswith("_probability")] == [
        f"{code}_probability" for code in codes
    ]


def test_thresholds_are_for_aus_that_are_on(session: FakeSession):
    assert select(RATED, {"AU04": 0.9}).thresholds["AU04"] == 0.9
    assert select(RATED, {"AU02": 0.9}, all_aus=True).thresholds["AU02"] == 0.9
    for given, hint in (({"AU02": 0.9}, r"'AU02', which is of tier C and so off; .*all_aus=True \(mdhr detect --all"),
                        ({"AU99": 0.9}, "this model scores AU01, AU04")):  # fmt: skip
        with pytest.raises(ConfigError, match=hint):
            AUDetector(RATED, session, INFO, thresholds=given)


def test_without_tiers_all_are_on_and_without_any_left_it_is_an_error(session: FakeSession):
    assert select(CONFIG).places == tuple(range(8)) and select(CONFIG).off == ()
    nothing = dataclasses.replace(CONFIG, reliability=("C",) * 8)
    with pytest.raises(ConfigError, match="all AUs of this model are of tier C"):
        AUDetector(nothing, session, INFO)
    assert AUDetector(nothing, session, INFO, all_aus=True).codes == CODES
