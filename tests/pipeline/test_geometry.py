"""Geometry of the mesh: measures that ignore the pose, the small network, and the face at rest that is learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import CODES, CONFIG, INFO, FakeMesher, FakeSession, picture, score
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.pipeline.clips import ClipScoring
from mdhr_sdk.pipeline.clock import StageClock
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.pipeline.scores.decide import Naming, Waiting
from mdhr_sdk.pipeline.scores.geometry import (
    FILE,
    FORGOTTEN,
    HALFWAY,
    GeometryModel,
    OwnNeutral,
    logit,
    read_geometry,
)
from mdhr_sdk.pipeline.scoring import Cut
from mdhr_sdk.vision import Face, Frame
from mdhr_sdk.vision.faces.geometry import (
    MEASURES,
    OUTER_CORNERS,
    POSE,
    RIGID,
    SYMMETRIC,
    difference,
    laid_on,
    mean_face,
    measures,
    upright,
)
from toy_geometry import AUS, PAIRS, in_pixels, network, reference


def turned(points: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turned by small angles in radians, about x, then y, then z."""
    turn = np.eye(3)
    for axis, angle in ((0, pitch), (1, yaw), (2, roll)):
        one = np.eye(3)
        first, second = [i for i in range(3) if i != axis]
        one[first, first] = one[second, second] = np.cos(angle)
        one[first, second], one[second, first] = (-np.sin(angle), np.sin(angle)) if axis != 1 else (
            np.sin(angle), -np.sin(angle),
        )  # fmt: skip
        turn = one @ turn
    return points @ turn.T


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.4, 0, 0), (0, -0.3, 0), (0, 0, 0.5), (0.3, 0.2, -0.4)])
@pytest.mark.parametrize("scale", [20.0, 300.0])
def test_measures_ignore_place_size_and_turn(angles: tuple[float, float, float], scale: float) -> None:
    rng, mean = np.random.default_rng(1), reference()
    face = mean + rng.normal(0, 0.03, mean.shape)
    face[list(RIGID)] = mean[list(RIGID)]  # what is rigid stays: then the fit is exact
    plain = measures(in_pixels(face)[None], mean)[0]
    moved = measures(in_pixels(turned(face, *angles), scale, (-40, 900, 0))[None], mean)[0]
    assert moved.shape == (MEASURES,)
    np.testing.assert_allclose(moved[:-POSE], plain[:-POSE], atol=2e-4)
    np.testing.assert_allclose(laid_on(upright(in_pixels(mean))[None], mean)[0][0], mean, atol=1e-5)


def test_the_pose_is_measured() -> None:
    mean = reference()
    for yaw, pitch, roll in ((0.3, 0, 0), (0, 0.25, 0), (0, 0, -0.2)):
        found = measures(in_pixels(turned(mean, yaw, pitch, roll))[None], mean)[0, -POSE:]
        np.testing.assert_allclose(np.abs(found), np.abs((yaw**2, pitch, yaw, roll**2)), atol=2e-3)


def test_a_mirrored_face_measures_the_same_but_for_its_sides() -> None:
    mean = reference()
    face = mean + np.random.default_rng(2).normal(0, 0.02, mean.shape)
    face[list(RIGID)] = mean[list(RIGID)]
    mirrored = face.copy()
    mirrored[PAIRS[:, 0]], mirrored[PAIRS[:, 1]] = face[PAIRS[:, 1]], face[PAIRS[:, 0]]
    mirrored *= (-1, 1, 1)
    first, second = (measures(in_pixels(one)[None], mean)[0] for one in (face, mirrored))
    np.testing.assert_allclose(first[:SYMMETRIC], second[:SYMMETRIC], atol=2e-4)
    np.testing.assert_allclose(first[SYMMETRIC:-POSE], -second[SYMMETRIC:-POSE], atol=2e-4)
    rest = np.zeros(MEASURES)
    np.testing.assert_allclose(difference(first, rest)[:-POSE], difference(second, rest)[:-POSE], atol=2e-4)


def test_the_mean_face_of_turned_copies_is_the_face() -> None:
    mean = reference()
    copies = np.stack([in_pixels(turned(mean, yaw, 0.1, 0)) for yaw in (-0.2, 0.1, 0.2)])
    found = mean_face(copies)
    sides = np.linalg.norm(found[OUTER_CORNERS[0]] - found[OUTER_CORNERS[1]])
    assert sides == pytest.approx(1, abs=1e-6) and found.shape == (468, 3)


def plain_logits(model: GeometryModel, measured: np.ndarray, neutral: np.ndarray, known: float) -> np.ndarray:
    """Network by network, layer by layer, unit by unit."""
    target = model.mean + known * (neutral - model.mean)
    own = np.clip(difference(measured, target) / model.spread, -6, 6)
    absolute = np.clip(difference(measured, model.mean) / model.absolute_spread, -5, 5)
    inputs = [*own, *((1 - known) * absolute), known, *(known * own)]
    answers = []
    for number in range(len(model.weights[0])):
        values = np.array(inputs)
        for layer in range(3):
            rows = zip(model.weights[layer][number], model.biases[layer][number], strict=True)
            values = np.array([sum(w * v for w, v in zip(row, values, strict=True)) + bias for row, bias in rows])
            values = values if layer == 2 else np.maximum(values, 0)
        answers.append(values)
    return np.mean(answers, axis=0)


def test_the_network_is_that_of_a_plain_loop_and_survives_the_disk() -> None:
    model, rng = network(), np.random.default_rng(3)
    measured, neutral = model.mean + rng.normal(0, 0.05, (2, MEASURES))
    found = model.logits(measured[None], neutral[None], np.array([0.4]))[0]
    np.testing.assert_allclose(found, plain_logits(model, measured, neutral, 0.4), atol=1e-9)
    again = GeometryModel.from_bytes(model.to_bytes(), model.shares)
    np.testing.assert_allclose(again.logits(measured[None], neutral[None], np.array([0.4]))[0], found, atol=1e-4)


def test_scores_are_averaged_as_logits_by_the_shares() -> None:
    model = network()
    scores = np.array([0.3, 0.3, 0.3], np.float32)
    found = model.combined(scores, np.array([2.0, 2.0, 2.0]))
    middle = 1 / (1 + np.exp(-(0.5 * np.log(0.3 / 0.7) + 1.0)))
    np.testing.assert_allclose(found, [middle, 0.3, 1 / (1 + np.exp(-2))], atol=1e-6)
    assert np.isfinite(model.combined(np.array([0, 0, 1], np.float32), np.zeros(3))).all()


def test_each_au_is_judged_by_what_both_say_of_all_aus() -> None:
    rng = np.random.default_rng(5)
    ours, theirs, offset = rng.normal(0, 1, (AUS, AUS)), rng.normal(0, 1, (AUS, AUS)), rng.normal(0, 1, AUS)
    model = replace(network(), from_scores=ours, from_geometry=theirs, offset=offset, shares=np.array([0.8, 0.0, 1.0]))
    scores, logits = np.array([0.3, 0.9, 0.6], np.float32), np.array([2.0, -1.0, 0.5])
    found, said = model.combined(scores, logits, moved=0.5), logit(scores) - 0.5
    for au, share in ((0, 0.8), (2, 1.0)):
        judged = sum(ours[au, i] * said[i] + theirs[au, i] * logits[i] for i in range(AUS)) + offset[au]
        assert logit(found)[au] == pytest.approx((1 - share) * said[au] + share * judged, abs=1e-4)
    assert found[1] == scores[1]


def test_a_plain_mesh_is_read_as_a_refined_one() -> None:
    model = replace(network(), refinement=np.linspace(-0.1, 0.1, MEASURES))
    plain = in_pixels(reference())
    refined = np.concatenate([plain, np.zeros((10, 3), np.float32)])
    np.testing.assert_allclose(model.measured(plain) - model.measured(refined), model.refinement, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: b"no safetensors", "cannot be read"),
        (lambda m: replace(m, mean=np.full(MEASURES, np.nan)).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, reference=np.zeros((4, 3))).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, spread=np.zeros(MEASURES)).to_bytes(), "does not hold the arrays"),
        (lambda m: replace(m, reference=np.full((468, 3), 1e30)).to_bytes(), "does not hold the arrays"),
        (
            lambda m: replace(m, weights=(m.weights[0], m.weights[1][:, :, :2], m.weights[2])).to_bytes(),
            "do not follow",
        ),
        (lambda m: replace(m, shares=np.ones(5)), "does not hold the arrays"),
        (lambda m: replace(m, biases=(*m.biases[:2], m.biases[2][:, :3])).to_bytes(), "do not follow"),
    ],
)
def test_a_damaged_file_is_refused(change, told: str) -> None:  # type: ignore[no-untyped-def]
    model = network()
    damaged = change(model)
    shares, content = model.shares, damaged
    if isinstance(damaged, GeometryModel):
        shares, content = damaged.shares, model.to_bytes()
    with pytest.raises(ModelFolderError, match=told) as error:
        GeometryModel.from_bytes(content, shares)
    assert FILE in str(error.value)


def test_a_folder_without_the_file_says_what_to_do(tmp_path: Path) -> None:
    folder = ModelFolder.open("edge").copy(tmp_path / "edge")
    assert read_geometry(folder) is not None, "a copy holds it"
    (folder.path / FILE).unlink()
    with pytest.raises(ModelFolderError, match=r"has no geometry.safetensors, .*mdhr synthetic geometry"):
        read_geometry(ModelFolder.open(folder.path))


def at_rest(model: GeometryModel, logit: float) -> GeometryModel:
    """The same, but every face seems at rest by `logit`."""
    last, bias = model.weights[2].copy(), model.biases[2].copy()
    last[:, -1], bias[:, -1] = 0, logit
    return replace(model, weights=(*model.weights[:2], last), biases=(*model.biases[:2], bias))


def test_the_face_at_rest_is_learnt_from_the_frames_before() -> None:
    model, rng = at_rest(network(), 20.0), np.random.default_rng(4)
    faces = [Face(in_pixels(reference() + rng.normal(0, 0.01, (468, 3)))) for _ in range(30)]
    own = OwnNeutral(model)
    for index, face in enumerate(faces):
        measured = np.stack([model.measured(one.landmarks_px) for one in faces[: index + 1]])
        before = measured[:-1].mean(axis=0) if index else model.mean
        known = index / (index + HALFWAY)
        read = own.take(index / 25, {7: face})[7]
        assert read.known == pytest.approx(known)
        wanted = model.logits(measured[-1:], before[None], np.array([known]))[0, :-1]
        np.testing.assert_allclose(read.logits, wanted, atol=1e-6)


def test_scores_are_relative_to_what_the_model_says_of_the_person_at_rest() -> None:
    """AU 0 wholly, AU 1 has no share and stays, AU 2 is geometry's alone."""
    model = at_rest(network(), 20.0)
    model = replace(model, shares=np.array([0.5, 0.0, 1.0]), relative=np.ones(AUS), rest_logits=np.full(AUS, -2.0))
    face, own = Face(in_pixels(reference())), OwnNeutral(model)
    high = np.full(AUS, 0.4, np.float32)  # at rest: most have 0.12
    for index in range(200):
        read = own.take(index / 25, {0: face})[0]
        found = own.combine(0, read, high)
        moved = -2.0 if index == 0 else logit(high)[0]
        wanted = 0.5 * (logit(high)[0] - read.known * (moved + 2)) + 0.5 * read.logits[0]
        assert logit(found)[0] == pytest.approx(wanted, abs=1e-4)
        assert found[1] == high[1] and logit(found)[2] == pytest.approx(read.logits[2], abs=1e-3)


def test_faces_that_are_long_gone_are_forgotten() -> None:
    own = OwnNeutral(at_rest(network(), 20.0))
    face = Face(in_pixels(reference()))
    for index in range(2 * FORGOTTEN + 1):
        own.take(index / 25, {index // 10: face} if index < FORGOTTEN else {})
    assert not own._own


def test_time_counts_and_not_frames_and_each_face_has_its_own() -> None:
    model = at_rest(network(), 20.0)
    face = Face(in_pixels(reference()))
    slow, fast = OwnNeutral(model), OwnNeutral(model)
    known = {}
    for name, own, fps in (("slow", slow, 10), ("fast", fast, 50)):
        for index in range(2 * fps + 1):
            known[name] = own.take(index / fps, {0: face})[0].known
    assert known["slow"] == pytest.approx(known["fast"], abs=0.01) and known["slow"] > 0.88
    assert fast.take(2.0, {1: face})[1].known == 0.0, "a new face starts from the mean one"
    busy = OwnNeutral(at_rest(network(), -20.0))
    for index in range(50):
        moving = busy.take(index / 25, {0: face})[0].known
    assert moving < 1e-6, "a face that is never at rest teaches nothing"


@pytest.mark.usefixtures("no_cuts")
def test_results_carry_what_geometry_adds_whenever_scores_come() -> None:
    """Scores come four frames at a time; geometry reads each frame as it is taken, and each face by itself."""
    model = network(aus=len(CODES))
    naming = Naming(INFO, dict.fromkeys(CODES, 0.5), CONFIG.preprocessing, geometry=model)
    finder, session = CropFinder(FakeMesher(), CONFIG.preprocessing), FakeSession()  # type: ignore[arg-type]
    scoring, waiting, own = ClipScoring(session, CONFIG, StageClock()), Waiting(naming, False), OwnNeutral(model)  # type: ignore[arg-type]
    results, reads = [], []
    for index in range(6):
        found = finder.find(Frame(picture(index, {0, 2}), index, index / 25, "made up"))
        crops = finder.crops(found)
        reads.append(own.take(index / 25, found.faces))
        waiting.take(found, crops)
        results += list(waiting.give(scoring.push({0: Cut(index, crops)})[0]))
    results += list(waiting.end(scoring.flush(0), False))
    assert len(results) == 6
    for index, result in enumerate(results):
        for face, slot in zip(result.faces, (0, 2), strict=True):
            read = reads[index][face.track_id]
            wanted = own.combine(face.track_id, read, score(1 + 25 * slot + index, index % 4))
            np.testing.assert_allclose([face[code].probability for code in CODES], wanted, atol=1e-6)
            assert face.neutral_known == read.known and (index == 0) == (read.known == 0)


@pytest.mark.usefixtures("no_cuts")
def test_faces_that_are_left_out_for_their_quality_teach_nothing() -> None:
    naming = Naming(
        INFO, dict.fromkeys(CODES, 0.5), CONFIG.preprocessing, min_quality=1.0, geometry=network(aus=len(CODES))
    )
    finder, session = CropFinder(FakeMesher(), CONFIG.preprocessing), FakeSession()  # type: ignore[arg-type]
    scoring, waiting = ClipScoring(session, CONFIG, StageClock()), Waiting(naming, False)  # type: ignore[arg-type]
    found = finder.find(Frame(picture(0, {0, 2}), 0, 0.0, "made up"))
    crops = finder.crops(found)
    waiting.take(found, crops)
    results = [*waiting.give(scoring.push({0: Cut(0, crops)})[0]), *waiting.end(scoring.flush(0), False)]
    assert [(result.faces, result.untrusted) for result in results] == [((), 2)]
    assert waiting._own_neutral is not None and not waiting._own_neutral._own
