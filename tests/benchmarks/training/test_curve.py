"""benchmarks/training/curve.py on a data set of a few small images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.training.curve import curve, variants, with_people
from mdhr_sdk.errors import ConfigError, InputError
from mdhr_sdk.training.data.datasets import dataset
from mdhr_sdk.training.data.folds import augmentation
from mdhr_sdk.training.data.lists import read_fold
from mdhr_sdk.training.fit.settings import read_settings
from tiny_tree import write_tree


def test_fewer_people_are_the_first_with_weights_of_their_own(tmp_path: Path) -> None:
    settings = read_settings(write_tree(tmp_path / "data"))
    fewer = with_people(settings, 2, tmp_path / "list")
    spec = dataset(settings.data.dataset)
    all_of_them, kept = (read_fold(Path(s.data.lists), spec, 1) for s in (settings, fewer))
    assert list(dict.fromkeys(all_of_them.train.subjects))[:2] == list(dict.fromkeys(kept.train.subjects))
    assert kept.test.paths == all_of_them.test.paths
    assert kept.train.weights is not None and not (kept.train.weights == all_of_them.train.weights).all()
    assert with_people(settings, None, tmp_path / "none") is settings
    with pytest.raises(ConfigError, match="--people 9: the lists have 4"):
        with_people(settings, 9, tmp_path / "list")


def test_variants_change_one_thing_each(tmp_path: Path) -> None:
    base = read_settings(write_tree(tmp_path / "data"))
    plain = dataclasses.replace(base, data=dataclasses.replace(base.data, lists="plain"))
    recipe, bare, without, few, many = variants(base, plain, [3, 2])
    assert recipe.settings is base and without.settings is plain
    assert (few.people, many.people) == (2, 3) and many.settings is base
    changed = augmentation(bare.settings)
    assert (changed.flip, changed.scale, changed.contrast) == (0.0, 1.0, (1.0, 1.0))
    assert dataclasses.replace(bare.settings, augmentation=base.augmentation) == base


@pytest.mark.slow
def test_every_variant_is_trained_judged_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_tree(tmp_path / "data")
    out = tmp_path / "runs"
    curve(config, ["trainer.batch_size=2"], out, [3], None, clips=4, video=None, json=tmp_path / "curve.json")
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("the recipe", "without augmentation", "3 people"))
    weights = (out / "3-people" / "run" / "fold1" / "model" / "model.safetensors").stat().st_mtime_ns
    curve(config, ["trainer.batch_size=2"], out, [3], None, clips=4, video=None, json=None)
    assert (out / "3-people" / "run" / "fold1" / "model" / "model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(ConfigError, match="other settings or --clips"):
        curve(config, ["trainer.batch_size=2"], out, [3], None, clips=40, video=None, json=None)
    with pytest.raises(InputError, match="--video needs a file"):
        curve(config, [], out, [], None, clips=4, video=tmp_path / "none.mp4", json=None)
