"""Geometry trained on made-up meshes whose movement is known, and put into a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import Command, command
from mdhr_sdk.arguments import numbers_by_au
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError, DataError, ModelFolderError
from mdhr_sdk.modelfolder import ModelFolder
from mdhr_sdk.pipeline.scores.geometry import FILE, read_geometry
from mdhr_sdk.synthetic.face.muscles import AUS, INDEX
from mdhr_sdk.synthetic.geometry.ablation import Scored, ablate
from mdhr_sdk.synthetic.geometry.fit import FitOptions, fit
from mdhr_sdk.synthetic.geometry.judge import judge, own_neutral
from mdhr_sdk.synthetic.geometry.meshes import as_in_print, load_meshes, render_meshes
from mdhr_sdk.synthetic.geometry.saving import check_target, save_geometry, with_rest_logits
from mdhr_sdk.synthetic.geometry.together import TogetherOptions, judge_together_of
from mdhr_sdk.vision.faces.geometry import MEASURES
from toy_people import people

__all__ = ["command"]
KITS = [folder / "shared/facekit/facekit.npz" for folder in Path(__file__).parents]  # beside the checkout
KIT = next((path for path in KITS if path.is_file()), None)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return ModelFolder.open("edge").copy(tmp_path_factory.mktemp("target") / "model")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """One that no test changes."""
    return ModelFolder.open("edge").copy(tmp_path_factory.mktemp("sound") / "model")


def test_a_movement_is_told_once_the_face_at_rest_is_known(target: ModelFolder) -> None:
    options = FitOptions(copies=2, networks=2, epochs=20, batch=64, hidden=16)
    model = fit(people(0, 60), options)
    shares = numbers_by_au(AUS, "2=1", 0.0)
    model = with_rest_logits(model, target, people(0, 4), numbers_by_au(AUS, "2=0.5", 0.0), shares)
    told = judge(model, people(1000, 12), target)
    au = INDEX[2]
    assert told.auc_known[au] > 0.95 and told.auc_new[au] < told.auc_known[au] - 0.05
    assert told.combined_known[au] == pytest.approx(told.auc_known[au]), "all of its share is geometry's"
    assert told.rest_auc > 0.5 and np.isnan(told.auc_known[INDEX[12]])
    saved = save_geometry(target, model, "made-up people")
    assert saved.config.geometry == shares and FILE in saved.manifest
    again = read_geometry(ModelFolder.open(target.path))
    assert again is not None and again.shares.tolist() == list(shares)
    np.testing.assert_allclose(again.rest_logits, model.rest_logits, atol=1e-5)
    (target.path / FILE).write_bytes(b"other")
    with pytest.raises(ModelFolderError, match="other bytes"):
        read_geometry(ModelFolder.open(target.path))


@pytest.mark.slow
def test_what_is_noise_is_not_judged_by_and_each_part_taken_away_is_told() -> None:
    """The network says nothing of these people: geometry alone is heard, and without it nothing is known."""
    au, rng = INDEX[2], np.random.default_rng(1)
    parts = []
    for first, count in ((0, 40), (1000, 12)):
        meshes = people(first, count)
        said = rng.normal(-2, 1, meshes.labels.shape)
        parts.append(Scored(meshes, said, own_neutral(meshes, said)))
    fitted = replace(
        fit(parts[0].meshes, FitOptions(copies=2, networks=2, epochs=20, hidden=16)), shares=np.eye(15)[au]
    )
    model = judge_together_of(fitted, parts[0].meshes, parts[0].said, TogetherOptions(epochs=60, batch=64))
    assert model.from_geometry[au, au] > 3 * abs(model.from_scores[au]).max()
    told: list[str] = []
    rows = {row.name: row for row in ablate(model, *parts, persons=[4], tell=told.append)}
    assert list(rows) == told and len(told) == 9 and told[-1] == "trained again, on 4 people"
    assert rows[told[-1]].auc[1] < rows["trained again"].auc[1], "so few people teach little"
    assert rows["as it is"].auc[1] > 0.95 > 0.7 > rows["network alone"].auc[1]
    unaware = rows["trained again, unaware of faces at rest"]
    assert rows["as it is"].f1[1] > 0.85 and unaware.auc[0] == unaware.auc[1] < 0.9, "it never reads the face at rest"
    assert all(0 <= value <= 1 for row in rows.values() for value in (*row.auc, *row.f1))


def test_a_linear_network_is_kept_as_layers() -> None:
    model = fit(people(0, 20), FitOptions(copies=1, networks=1, epochs=2, linear=True))
    rng, known = np.random.default_rng(2), np.zeros(2)
    first, second = rng.normal(0, 0.01, (2, MEASURES)) * model.spread + model.mean
    at = [model.logits(np.stack([one, one]), np.stack([one, one]), known)[0] for one in (first, second)]
    middle = (first + second) / 2
    near = model.logits(np.stack([middle] * 2), np.stack([middle] * 2), known)[0]
    np.testing.assert_allclose(near, (at[0] + at[1]) / 2, atol=1e-2)


def test_pictures_as_in_print_are_grey_and_blurred_and_keep_their_places() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    frames[:, :, 32:] = 255
    seen = [as_in_print(frames, np.random.default_rng(seed)) for seed in range(12)]
    changed = [one for one in seen if not np.array_equal(one, frames)]
    assert 4 <= len(changed) < 12, "PRINTED of people"
    assert sum(np.ptp(one.astype(int), axis=3).max() < 3 for one in changed) >= len(changed) / 2, "most are grey"
    for one in changed:
        assert one.shape == frames.shape and one[:, :, 40:].mean() > one[:, :, :24].mean() + 20
        assert one[:, :, :24].std() < 0.8 * frames[:, :, :24].std()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["edge"], "expected a model and the folder of meshes"),
        (["edge", "."], "holds meshes of 0 people to train on"),
        (["edge", ".", "--fold", "1"], "leave out --fold and --out"),
        (["edge", ".", "--json", "no/folder.json"], "--json needs a file in a folder that exists"),
    ],
)
def test_ablating_geometry_needs_a_model_and_meshes(command: Command, tmp_path: Path, words: list, told: str) -> None:
    words = [str(tmp_path) if word == "." else word for word in words]
    code, _, said = command(app, "ablate", "geometry", *words)
    assert code == 2 and told in said and len(said.splitlines()) == 1


def test_other_studies_have_no_learning_curve(command: Command) -> None:
    code, _, said = command(app, "ablate", "components", "run.yaml", "--people", "4")
    assert code == 2 and "--people is for the study of geometry alone" in said


@pytest.mark.parametrize("words", ["1", "1=2", "99=0.5", "1=0.5;2", "AU=1", "1=0.5,AU01=0.6"])
def test_shares_are_read_strictly(words: str) -> None:
    assert numbers_by_au(AUS, "AU12=0.5, 1=1", 0.0)[:1] == (1.0,) and numbers_by_au(AUS, "", 0.0) == (0.0,) * 15
    with pytest.raises(ConfigError, match=r"as in 1=0\.7,4=0\.3; got '"):
        numbers_by_au(AUS, words, 0.0)


def test_only_fitting_folders_are_changed(tiny_folder: Path) -> None:
    with pytest.raises(ModelFolderError, match="comes with mdhr_sdk"):
        check_target(Path(ModelFolder.open("edge").path))
    with pytest.raises(ConfigError, match="geometry is trained for AUs"):
        check_target(tiny_folder)


def test_meshes_that_are_missing_or_damaged_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no meshes of people 7 to 8"):
        load_meshes(tmp_path, [7, 8])
    (tmp_path / "P000000007.npz").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="cannot be read"):
        load_meshes(tmp_path, [7, 8])


@pytest.mark.slow
@pytest.mark.skipif(KIT is None, reason="the packed face model is not beside this checkout")
def test_rendered_people_become_meshes_and_are_not_rendered_again(tmp_path: Path) -> None:
    assert KIT is not None
    seen: list[tuple[int, int]] = []
    render_meshes(KIT, tmp_path, [5, 6], 1, lambda done, total: seen.append((done, total)))
    meshes = load_meshes(tmp_path, [5, 6])
    assert seen == [(0, 2), (1, 2), (2, 2)] and 8 <= len(meshes.rest) <= 16
    assert meshes.rest.sum() >= 2 and not meshes.labels[meshes.rest].any()
    assert set(meshes.person) <= {5, 6} and meshes.crops.shape[1:] == (128, 128, 3)
    assert np.abs(meshes.fine - meshes.plain).max() < 20, "both meshes lie on one face"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    render_meshes(KIT, tmp_path, [5, 6], 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == before
    render_meshes(KIT, tmp_path / "more", [6], 1, varied=True)
    assert len(load_meshes(tmp_path / "more", [6]).rest) > len(load_meshes(tmp_path, [6]).rest), "6 talks too"


def test_the_command_refuses_the_bundled_model(command: Command, tmp_path: Path) -> None:
    model = ModelFolder.open("edge").path
    code, _, told = command(
        app, "synthetic", "geometry", tmp_path / "kit.npz", "--out", tmp_path / "m", "--into", model, "--shares", "1=1"
    )
    assert code == 2 and "comes with mdhr_sdk" in told and len(told.splitlines()) == 1


@pytest.mark.parametrize("kind", ["geometry", "intensity"])
@pytest.mark.parametrize("words", [("--persons", 0), ("--test-persons", 0), ("--persons", 600_000), ("--workers", 0)])
def test_numbers_of_people_that_cannot_be_are_told_before_any_is_rendered(
    command: Command, sound: ModelFolder, tmp_path: Path, kind: str, words: tuple[str, int]
) -> None:
    more = ("--shares", "1=1") if kind == "geometry" else ("--seed", 3)
    out = ("--out", tmp_path / "meshes", "--into", sound.path)
    code, _, told = command(app, "synthetic", kind, tmp_path / "kit.npz", *out, *more, *words)
    assert code == 2 and words[0].strip("-").replace("-", "_") in told and len(told.splitlines()) == 1
