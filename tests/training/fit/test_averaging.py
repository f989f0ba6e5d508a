"""The mean of two models: its weights, whom it was trained on, and what has no mean."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mdhr_sdk.aus import label_set
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError, ModelFolderError
from mdhr_sdk.model import MDHR, load_model, save_model
from mdhr_sdk.modelfolder.config import ModelConfig, Preprocessing
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.subjects import check_subjects, note_subjects, noted
from mdhr_sdk.training.fit.weights.averaging import average


def made(path: Path, seed: int, trained: bool = True, **config: object) -> ModelFolder:
    torch.manual_seed(seed)
    settings = {"backbone": "test_resnet", "input_size_px": 64, "projection_width": 16, "au_width": 16, **config}
    model = MDHR(ModelConfig(label_set("disfa"), **settings))  # type: ignore[arg-type]
    save_model(model, path, clip_length=4, trained=trained, provenance=f"seed {seed}", licence="MIT")
    return ModelFolder.open(path)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFolder, ModelFolder]:
    folder = tmp_path_factory.mktemp("two")
    first, second = made(folder / "a", 1), made(folder / "b", 2)
    note_subjects(first, {"disfa": ["SN001", "SN002"]}, 1, {"dataset": "disfa", "fold": 3, "subjects": ["SN009"]})
    note_subjects(second, {"disfa": ["SN003"]}, 2, {})
    return ModelFolder.open(first.path), ModelFolder.open(second.path)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_lies_between(two: tuple[ModelFolder, ModelFolder], share: float, tmp_path: Path) -> None:
    mean = load_model(average(*two, tmp_path / "mean", share)).state_dict()
    first, second = (load_model(one).state_dict() for one in two)
    assert mean.keys() == first.keys()
    for key, value in mean.items():
        wanted = torch.lerp(first[key], second[key], share) if value.is_floating_point() else first[key]
        torch.testing.assert_close(value, wanted, rtol=1e-6, atol=1e-7)


def test_it_was_trained_on_whom_either_was(two: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    average(*two, tmp_path / "mean")
    mean = ModelFolder.open(tmp_path / "mean")
    for tested in ("SN001", "SN003", "SN009"):
        with pytest.raises(ConfigError, match=f"was trained on 1 of the subjects \\({tested}\\)"):
            check_subjects(mean, "disfa", 1, [tested])
    check_subjects(mean, "disfa", 1, ["SN004"])
    assert "seed 1" in mean.config.provenance and "seed 2" in mean.config.provenance and mean.config.licence == "MIT"
    assert mean.config.trained and mean.config.reliability == ()


def test_what_inputs_and_outputs_need_is_kept(two: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    shown = Preprocessing(size_px=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    both = []
    for index in range(2):
        both.append(
            made(tmp_path / str(index), index).update(
                preprocessing=shown, trained_on=("", "synthetic faces only")[index]
            )
        )
    mean = average(both[0], both[1], tmp_path / "mean", half=True)
    assert mean.config.preprocessing == shown and mean.config.trained_on == "synthetic faces only"
    assert (mean.path / "model.safetensors").stat().st_size < 0.7 * (two[0].path / "model.safetensors").stat().st_size
    load_model(ModelFolder.open(mean.path))


def test_a_note_stands_once_and_its_fold_is_advised_where_there_is_one(
    two: tuple[ModelFolder, ModelFolder], tmp_path: Path
) -> None:
    first, _ = two
    mean = average(first, first, tmp_path / "mean")
    assert noted(mean) == noted(first)
    with pytest.raises(ConfigError, match="judge it on people that it has not seen"):
        check_subjects(mean, "disfa", 2, ["SN001"])  # folds 1 and 3 are in it


def test_geometry_is_left_out_and_its_thresholds_with_it(two: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    first, second = two
    aus = len(first.config.thresholds)
    both = first.copy(tmp_path / "both").update(geometry=(0.5,) * aus, thresholds=(0.7,) * aus)
    result = CliRunner().invoke(app, ["average", str(both.path), str(second.path), "--out", str(tmp_path / "mean")])
    assert result.exit_code == 0 and "without geometry" in result.output, result.output
    mean = ModelFolder.open(tmp_path / "mean").config
    assert mean.geometry == () and mean.thresholds == (0.5,) * aus == second.config.thresholds


def test_models_without_a_mean_are_refused(two: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    first, second = two
    with pytest.raises(ConfigError, match=r"au_width \(16 there, 8 here\)"):
        average(first, made(tmp_path / "other", 3, au_width=8), tmp_path / "mean")
    aus = len(first.config.thresholds)
    other = second.copy(tmp_path / "decided").update(thresholds=(0.5,) * (aus - 1) + (0.3,))
    with pytest.raises(ConfigError, match=rf"differ in 1 of {aus} thresholds, as 0\.5 there and 0\.3 here"):
        average(first, other, tmp_path / "mean")
    with pytest.raises(ConfigError, match="is not trained"):
        average(first, made(tmp_path / "untrained", 3, trained=False), tmp_path / "mean")
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="share"):
            average(first, second, tmp_path / "mean", share)
    assert not (tmp_path / "mean").exists()
    with pytest.raises(ModelFolderError):
        average(first, second, first.path)


def test_the_command_makes_it(two: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    words = ["average", *(str(one.path) for one in two), "--out", str(tmp_path / "mean"), "--share", "0.25"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "0.75 of" in result.output and "0.25 of" in result.output
    assert ModelFolder.open(tmp_path / "mean").config.trained
