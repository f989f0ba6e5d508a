"""Intensities fitted on made-up people whose movements are known, and put into a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import Command, command
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.modelfolder import ModelFolder
from mdhr_sdk.pipeline.scores.geometry import GeometryModel, read_geometry
from mdhr_sdk.pipeline.scores.intensity import FILE, read_intensity
from mdhr_sdk.synthetic.face.muscles import INDEX
from mdhr_sdk.synthetic.geometry.saving import save_geometry
from mdhr_sdk.synthetic.intensity.fit import Read, fit, read_people
from mdhr_sdk.synthetic.intensity.judge import good, judge, lines
from mdhr_sdk.synthetic.intensity.saving import geometry_of, save_intensity
from toy_people import people

__all__ = ["command"]
AUS = 15
KITS = [folder / "shared/facekit/facekit.npz" for folder in Path(__file__).parents]  # beside the checkout
KIT = next((path for path in KITS if path.is_file()), None)
SEEN, KNOWN_ONLY, UNSEEN = 0, 1, 2  # AUs: seen at once, seen once the face at rest is known, never


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return ModelFolder.open("edge").copy(tmp_path_factory.mktemp("target") / "model").update(intensity=())


@pytest.fixture(scope="module")
def geometry(target: ModelFolder) -> GeometryModel:
    return geometry_of(target)


def said_of(seed: int, geometry: GeometryModel, frames: int = 600) -> Read:
    """What a network says that saturates, and adds to `KNOWN_ONLY` what differs from person to person."""
    rng = np.random.default_rng(seed)
    truth = np.clip(rng.uniform(-1, 1, (frames, AUS)), 0, 1)
    said = 8 * np.tanh(2 * truth) - 4 + rng.normal(0, 0.5, truth.shape)
    said[:, UNSEEN] = rng.normal(0, 1, frames)
    moved = said + 4
    said[:, KNOWN_ONLY] += rng.normal(0, 6, frames)
    measured = geometry.mean + 0.02 * rng.normal(0, 1, (frames, len(geometry.mean)))
    return Read(said, moved, measured, measured, truth, rng.random(truth.shape) < 0.9)


@pytest.mark.slow
def test_what_is_seen_is_fitted_and_what_is_not_is_off(geometry: GeometryModel) -> None:
    model = fit(said_of(1, geometry), geometry)
    assert model.told.all() and (model.weights[:, :3] >= 0).all() and (np.diff(model.levels, axis=1) >= 0).all()
    told = judge(replace(model, told=np.zeros(AUS, bool)), geometry, said_of(2, geometry))
    assert told.icc_new[SEEN] > 0.9 and told.error_new[SEEN] < 0.5 < told.by_nothing[SEEN]
    assert told.icc_known[KNOWN_ONLY] > 0.85 and told.icc_new[KNOWN_ONLY] < 0.6
    assert abs(told.icc_known[UNSEEN]) < 0.2
    kept = good(told, "A" * 14 + "C")
    assert kept[SEEN] and not kept[UNSEEN] and not kept[14] and good(told, ()).sum() == kept.sum() + 1
    table = list(lines(tuple(f"AU{one:02d}" for one in range(AUS)), told, kept))
    assert len(table) == AUS + 2 and table[1 + UNSEEN].endswith("off") and not table[1].endswith("off")


@pytest.mark.slow
def test_frames_of_which_nobody_could_tell_do_not_count(geometry: GeometryModel) -> None:
    read = said_of(3, geometry)
    wrong = np.where(read.known, read.truth, 1 - read.truth)
    one, other = fit(read, geometry), fit(replace(read, truth=wrong), geometry)
    np.testing.assert_array_equal(one.levels, other.levels)


@pytest.mark.slow
def test_people_are_read_and_the_folder_tells_what_was_fitted(target: ModelFolder) -> None:
    geometry = read_geometry(target)
    assert geometry is not None
    meshes = people(0, 8)
    read = read_people(meshes, geometry, target)
    assert len(read.said) == 32, "four of six frames are not at rest"
    np.testing.assert_array_equal(read.truth[:, INDEX[2]], meshes.intensities[~meshes.rest, INDEX[2]])
    model = replace(fit(said_of(1, geometry), geometry), told=np.arange(AUS) < 3)
    saved = save_intensity(target, model, "made-up people")
    assert saved.config.intensity == (True,) * 3 + (False,) * 12 and saved.manifest[FILE]["source_sha256"]
    again = read_intensity(ModelFolder.open(target.path))
    assert again is not None
    values = read.given(geometry, 0.5)
    np.testing.assert_allclose(again.strengths(values), model.strengths(values), atol=1e-4)
    assert save_geometry(saved, geometry, "again").config.intensity == (), "they read another geometry"
    with pytest.raises(ConfigError, match="has none; make it first: mdhr synthetic geometry"):
        geometry_of(target.update(geometry=(), intensity=()))


def test_the_command_refuses_the_bundled_model(command: Command, tmp_path: Path) -> None:
    model = ModelFolder.open("edge").path
    code, _, told = command(
        app, "synthetic", "intensity", tmp_path / "kit.npz", "--out", tmp_path / "m", "--into", model, "--seed", "7"
    )
    assert code == 2 and "comes with mdhr_sdk" in told and len(told.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(KIT is None, reason="the packed face model is not beside this checkout")
def test_a_movement_that_grows_is_rendered_with_its_truth() -> None:
    from benchmarks.accuracy.intensity import GROWING, at_rest, growing, joined
    from mdhr_sdk.synthetic.face.person import Person
    from mdhr_sdk.synthetic.kit import FaceKit
    from mdhr_sdk.synthetic.labelled import ClipOptions, render_motion
    from mdhr_sdk.synthetic.picture.render import Renderer

    assert KIT is not None
    kit, pose = FaceKit.load(KIT), np.zeros(3, np.float32)
    renderer, person = Renderer(kit, 96), Person.draw(kit, 3)
    motion = joined([at_rest(kit, person, pose, 3), growing(kit, person, pose, 12), growing(kit, person, pose, 25)])
    clip = render_motion(renderer, person, 0, motion, ClipOptions(size_px=96))
    assert clip.frames.shape == (3 + 2 * GROWING, 96, 96, 3)
    smile, lips = clip.intensities[:, INDEX[12]], clip.intensities[:, INDEX[25]]
    np.testing.assert_allclose(smile[3 : 3 + GROWING], np.linspace(0, 1, GROWING))
    assert (np.diff(lips[3 + GROWING :]) >= -1e-6).all() and lips[-1] > 0.3
    assert clip.labels[2 + GROWING, INDEX[12]] == 1 and not clip.labels[:3].any()
    mean = clip.frames.astype(float).mean(axis=(1, 2, 3))
    corner = np.abs(clip.landmarks_px[2 + GROWING, 48] - clip.landmarks_px[0, 48]).max()
    assert corner > 1.5 and abs(mean[0] - mean[1]) < 1, "the mouth moves; at rest only the grain does"
    np.testing.assert_array_equal(clip.landmarks_px[0], clip.landmarks_px[2])
