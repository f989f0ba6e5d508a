"""One YAML file, strict: what it says arrives, what nobody knows is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.model import MDHR
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.folds import augmentation
from mdhr_sdk.training.fit.settings import read_settings

ROOT = Path(__file__).resolve().parents[3]


def test_the_paper_is_the_default() -> None:
    paper = read_settings()
    assert (paper.optimiser.learning_rate, paper.optimiser.betas, paper.optimiser.weight_decay) == (
        1e-4,
        (0.9, 0.999),
        5e-4,
    )
    assert (paper.trainer.epochs, paper.trainer.validate_every, paper.trainer.batch_size) == (200, 25, 8)
    model = paper.model_config(label_set("bp4d"))
    assert (paper.data.clip_length, model.k, model.region_loss_weight, model.backbone) == (16, 5, 0.01, "resnet50")


def test_file_and_words_over_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "preset: small-gpu\ndata: {lists: my/lists}\nmodel: {scales: [1, 2], mfd: true}\n"
        "optimiser: {learning_rate: 3e-4, freeze: [encoder.backbone]}\n"
    )
    words = ("trainer.epochs=3", "optimiser.rates.encoder.backbone=0.1", "model.k=2", "optimiser.clip_norm=1")
    settings = read_settings(path, words)
    assert settings.trainer.precision == "bf16-mixed" and settings.trainer.epochs == 3
    assert settings.optimiser.learning_rate == 3e-4 and settings.optimiser.freeze == ("encoder.backbone",)
    assert settings.optimiser.rates == {"encoder.backbone": 0.1} and settings.optimiser.clip_norm == 1.0
    assert settings.model_config(label_set("disfa")).scales == (1, 2)
    copy = tmp_path / "copy.yaml"
    copy.write_text(settings.to_yaml())
    assert read_settings(copy) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainr: {}", "unknown setting 'trainr'; did you mean 'trainer'"),
        ("optimiser: {learning_rat: 1}", "'optimiser.learning_rat'; did you mean 'learning_rate'"),
        ("model: {backbon: resnet18}", "model: unknown setting 'backbon'; did you mean 'backbone'"),
        ("model: {fusion: mean}", "model: fusion must be one of 'adaptive'"),
        ("model: {k: five}", "model: k must be a valid integer; got 'five'"),
        ("model: {label_set: bp4d}", "model: "),
        ("model: {1: 2}", "model"),
        ("trainer: {epochs: 0}", r"trainer\.epochs must be greater than or equal to 1; got 0"),
        ("trainer: {epochs: many}", "epochs"),
        ("trainer: {batch_size: 8, devices: 3}", "multiple of devices 3"),
        ("trainer: 5", "trainer must be .*got 5"),
        ("preset: papr", "unknown preset 'papr'"),
        ("preset: [paper]", "unknown preset"),
        ("trainer: {epochs: true}", r"trainer\.epochs must be a valid integer; got True"),
        ("trainer: {precision: bf15}", "precision must be one of .*'bf16-mixed'"),
        ("data: [", "is not YAML"),
        ("- 1", "must hold keys with values"),
        ("optimiser: {ema: 2.0}", r"optimiser\.ema must be less than 1; got 2\.0"),
        ("{optimiser: {accumulate: 4}, trainer: {checkpoint_batches: 6}}", "multiple of optimiser.accumulate 4"),
    ],
)
def test_refuses_what_cannot_be(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(path)


@pytest.mark.parametrize("word", ["augmentation.brightness=[1]", "augmentation.brightness=5", "augmentation.dim=1"])
def test_refuses_augmentation_that_cannot_be(word: str) -> None:
    with pytest.raises(ConfigError, match="augmentation"):
        augmentation(read_settings(None, [word]))


@pytest.mark.parametrize("word", ["epochs", "=3", "trainer.epoch=3", "trainer.epochs=[", "trainer.epochs=x"])
def test_refuses_words_that_change_nothing(word: str) -> None:
    with pytest.raises(ConfigError):
        read_settings(None, [word])


@pytest.mark.parametrize("recipe", sorted((ROOT / "docs" / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_in_the_documentation_make_the_bundled_architecture(recipe: Path) -> None:
    model = MDHR(read_settings(recipe).model_config(label_set("synthetic"))).config
    bundled = ModelFolder.open(ROOT / "mdhr_sdk" / "models" / "edge").config.model
    assert dataclasses.replace(model, input_size_px=bundled.input_size_px) == bundled


def test_a_bundled_model_to_start_from_stays_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edge").mkdir()  # another model, of the same name
    for given, kept in (("edge", "edge"), ("./edge", str(tmp_path / "edge")), ("mine", str(tmp_path / "mine"))):
        assert read_settings(None, [f"start.folder={given}"]).anywhere().start.folder == kept


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        read_settings(tmp_path / "none.yaml")
