"""Geometry trained on made-up meshes whose movement is known, and put into a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import Command, command
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError, DataError, ModelFolderError
from mdhr_sdk.modelfolder import ModelFolder
from mdhr_sdk.pipeline.scores.geometry import FILE, read_geometry
from mdhr_sdk.synthetic.face.muscles import INDEX
from mdhr_sdk.synthetic.geometry.fit import FitOptions, fit
from mdhr_sdk.synthetic.geometry.judge import judge
from mdhr_sdk.synthetic.geometry.meshes import load_meshes, render_meshes
from mdhr_sdk.synthetic.geometry.saving import by_au, check_target, save_geometry, with_rest_logits
from toy_people import people

__all__ = ["command"]
KITS = [folder / "shared/facekit/facekit.npz" for folder in Path(__file__).parents]  # beside the checkout
KIT = next((path for path in KITS if path.is_file()), None)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return ModelFolder.open("edge").copy(tmp_path_factory.mktemp("target") / "model")


def test_a_movement_is_told_once_the_face_at_rest_is_known(target: ModelFolder) -> None:
    options = FitOptions(copies=2, networks=2, epochs=20, batch=64, hidden=16)
    model = fit(people(0, 60), options)
    shares = by_au(target, "2=1")
    model = with_rest_logits(model, target, people(0, 4), by_au(target, "2=0.5"), shares)
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


@pytest.mark.parametrize("words", ["1", "1=2", "99=0.5", "1=0.5;2", "AU=1"])
def test_shares_are_read_strictly(words: str, target: ModelFolder) -> None:
    assert by_au(target, "AU12=0.5, 1=1")[:1] == (1.0,) and by_au(target, "") == (0.0,) * 15
    with pytest.raises(ConfigError, match=r"as in 1=0\.7,4=0\.3; got '"):
        by_au(target, words)


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


def test_the_command_refuses_the_bundled_model(command: Command, tmp_path: Path) -> None:
    model = ModelFolder.open("edge").path
    code, _, told = command(
        app, "synthetic", "geometry", tmp_path / "kit.npz", "--out", tmp_path / "m", "--into", model, "--shares", "1=1"
    )
    assert code == 2 and "comes with mdhr_sdk" in told and len(told.splitlines()) == 1
