"""Intensities: the sum and the map, files that are refused, and results that carry them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from fakes import CODES, CONFIG, INFO, FakeMesher, FakeSession, picture, score
from mdhr_sdk.errors import ConfigError, ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.pipeline.clips import ClipScoring
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.pipeline.scores.decide import Naming, Waiting
from mdhr_sdk.pipeline.scores.geometry import FILE as GEOMETRY
from mdhr_sdk.pipeline.scores.geometry import OwnNeutral, logit
from mdhr_sdk.pipeline.scores.intensity import FILE, INPUTS, MADE_FROM, MOST, IntensityModel, given, read_intensity
from mdhr_sdk.pipeline.scoring import Cut
from mdhr_sdk.vision import Frame
from toy_geometry import network

AUS = 4
TOLD = np.array([True, True, False, True])


def model(aus: int = AUS, told: np.ndarray = TOLD, knots: int = 5) -> IntensityModel:
    rng = np.random.default_rng(aus)
    weights = rng.uniform(0, 1, (aus, INPUTS)) * (1, 1, 1, -1)
    places = np.cumsum(rng.uniform(0.5, 2, (aus, knots)), axis=1) - 4
    return IntensityModel(weights, places, np.sort(rng.uniform(0, 1, (aus, knots)), axis=1), told)


def plain_strength(one: IntensityModel, au: int, values: np.ndarray) -> float:
    total = sum(w * v for w, v in zip(one.weights[au], values, strict=True))
    knots, levels = one.knots[au], one.levels[au]
    if total <= knots[0] or total >= knots[-1]:
        return float(levels[0] if total <= knots[0] else levels[-1])
    place = max(index for index, knot in enumerate(knots) if knot <= total)
    share = (total - knots[place]) / (knots[place + 1] - knots[place])
    return float(levels[place] + share * (levels[place + 1] - levels[place]))


def test_an_intensity_is_a_sum_and_a_map_and_survives_the_disk() -> None:
    one, rng = model(), np.random.default_rng(1)
    said, geometry, moved = rng.normal(0, 3, (3, 20, AUS))
    known = rng.uniform(0, 1, 20)
    found = one.strengths(given(said, geometry, moved, known))
    for row in range(20):
        values = np.stack([said[row], geometry[row], moved[row], np.full(AUS, known[row])], axis=1)
        wanted = [plain_strength(one, au, values[au]) if TOLD[au] else np.nan for au in range(AUS)]
        np.testing.assert_allclose(found[row], wanted, atol=1e-12)
        np.testing.assert_array_equal(
            one.strengths(given(said[row], geometry[row], moved[row], known[row])), found[row]
        )
    assert np.isnan(one.strengths(np.full((AUS, INPUTS), np.nan))).all()
    again = IntensityModel.from_bytes(one.to_bytes(), TOLD)
    np.testing.assert_allclose(again.strengths(given(said, geometry, moved, known)), found, atol=1e-5)


def test_it_never_falls_where_what_is_said_rises_and_stays_in_its_bounds() -> None:
    one, rng = model(told=np.ones(AUS, bool)), np.random.default_rng(2)
    values = rng.normal(0, 10, (500, AUS, INPUTS))
    before = one.strengths(values)
    for place in range(INPUTS - 1):
        raised = values.copy()
        raised[..., place] += rng.uniform(0, 5, (500, AUS))
        assert (one.strengths(raised) >= before).all()
    assert before.min() >= 0 and before.max() <= 1 and np.isfinite(one.strengths(1e9 * values)).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: b"no safetensors", "cannot be read"),
        (lambda m: save({"knots": np.zeros((), np.float32)}), "does not hold the arrays of intensities of 4 AUs"),
        (lambda m: save({}), "does not hold the arrays"),
        (lambda m: replace(m, weights=m.weights[:, :3]).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, weights=np.full((AUS, INPUTS), np.nan)).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, knots=1e30 * m.knots).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, knots=m.knots[:, :1], levels=m.levels[:, :1]).to_bytes(), "does not hold the arrays"),
        (lambda m: model(knots=300).to_bytes(), "does not hold the arrays"),
        (lambda m: model(aus=5).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, knots=m.knots[:, ::-1]).to_bytes(), "must rise"),
        (lambda m: replace(m, knots=0 * m.knots).to_bytes(), "must rise"),
        (lambda m: replace(m, levels=m.levels[:, ::-1]).to_bytes(), "must rise"),
        (lambda m: replace(m, levels=2 * m.levels).to_bytes(), "leaves 0 to 5"),
        (lambda m: replace(m, weights=-m.weights).to_bytes(), "must rise"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(change, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelFolderError, match=told) as error:
        IntensityModel.from_bytes(change(model()), TOLD)
    assert FILE in str(error.value) and "\n" not in str(error.value)


def put(folder: ModelFolder, **facts: str) -> ModelFolder:
    """A copy's folder with made-up intensities of all its AUs."""
    aus = len(folder.config.model.label_set.aus)
    with folder.writing(FILE, {"tool": "test", **facts}) as part:
        part.write_bytes(model(aus, np.ones(aus, bool)).to_bytes())
    return folder.update(intensity=(True,) * aus)


def test_folders_with_without_and_with_wrong_ones(tmp_path: Path) -> None:
    folder = ModelFolder.open("edge").copy(tmp_path / "edge").update(intensity=())
    assert read_intensity(folder) is None
    folder = put(folder)
    found = read_intensity(ModelFolder.open(folder.path))
    assert found is not None and found.told.all()
    with pytest.raises(ModelFolderError, match=f"{FILE} was made with another {GEOMETRY}; make it again"):
        read_intensity(put(folder, **{MADE_FROM: "other"}))
    with pytest.raises(ModelFolderError, match=r"was replaced while"):
        put(folder, source_sha256="0" * 64)
    with pytest.raises(ConfigError, match="empty for a model without geometry"):
        folder.update(geometry=())
    with pytest.raises(ConfigError, match="empty or 15 of true and false"):
        folder.update(intensity=(True,))
    (folder.path / FILE).unlink()
    with pytest.raises(ModelFolderError, match=f"has no {FILE}, .*mdhr synthetic intensity"):
        read_intensity(folder)


def run(naming: Naming, frames: int = 6) -> list:
    """Two faces in made-up frames, whose scores come four frames at a time."""
    finder, session = CropFinder(FakeMesher(), CONFIG.preprocessing), FakeSession()  # type: ignore[arg-type]
    scoring, waiting = ClipScoring(session, CONFIG, StageClock()), Waiting(naming, False)  # type: ignore[arg-type]
    results = []
    for index in range(frames):
        found = finder.find(Frame(picture(index, {0, 2}), index, index / 25, "made up"))
        crops = finder.crops(found)
        waiting.take(found, crops)
        results += list(waiting.give(scoring.push({0: Cut(index, crops)})[0]))
    return [*results, *waiting.end(scoring.flush(0), False)]


@pytest.mark.usefixtures("no_cuts")
def test_results_carry_them_for_the_aus_that_are_reported() -> None:
    """Each is what the frame's own scores give, relative to what was said before of the face at rest."""
    aus = len(CODES)
    geometry, strong = network(aus=aus), model(aus, np.arange(aus) != 3)
    places = (0, 3, 5)
    info = replace(INFO, intensities=(CODES[0], CODES[5]))
    thresholds = {CODES[place]: 0.5 for place in places}
    naming = Naming(info, thresholds, CONFIG.preprocessing, places, geometry=geometry, intensity=strong)
    own, finder = OwnNeutral(geometry), CropFinder(FakeMesher(), CONFIG.preprocessing)  # type: ignore[arg-type]
    seen = set()
    for index, result in enumerate(run(naming)):
        found = finder.find(Frame(picture(index, {0, 2}), index, index / 25, "made up"))
        reads = own.take(index / 25, found.faces)
        for face, slot in zip(result.faces, (0, 2), strict=True):
            said, read = score(1 + 25 * slot + index, index % 4), reads[face.track_id]
            before = own._own[face.track_id].said.value
            values = given(logit(said), read.logits, read.known * (logit(said) - before), read.known)
            wanted = MOST * strong.strengths(values)
            own.combine(face.track_id, read, said)
            assert face[CODES[0]].intensity == pytest.approx(wanted[0]) and face[CODES[3]].intensity is None
            assert face[CODES[5]].intensity == pytest.approx(wanted[5])
            seen.add(face[CODES[5]].intensity)
    assert len(seen) > 4, "intensities that do not vary would show nothing"


@pytest.mark.usefixtures("no_cuts")
def test_smoothing_smooths_them_too_and_events_tell_the_greatest() -> None:
    aus = len(CODES)
    geometry, strong = network(aus=aus), model(aus, np.ones(aus, bool))
    info = replace(INFO, intensities=CODES)
    naming = Naming(info, dict.fromkeys(CODES, 0.5), CONFIG.preprocessing, geometry=geometry, intensity=strong)
    plain = run(naming, 20)
    smooth = run(replace(naming, info=replace(info, smooth_hz=0.5)), 20)

    def steps(results: list) -> float:
        rows = [[score.intensity for score in result.faces[0].aus.values()] for result in results]
        return float(np.abs(np.diff(rows, axis=0)).mean())

    assert 0 < steps(smooth) < 0.8 * steps(plain)
    events = [event for result in plain for event in result.events] + list(plain[-1].ending.events)
    assert events
    for event in events:
        rows = [face[event.au] for result in plain if event.onset_frame <= result.index <= event.offset_frame
                for face in result.faces if face.track_id == event.track_id]  # fmt: skip
        assert event.peak_intensity == max(row.intensity for row in rows if row.occurrence)
