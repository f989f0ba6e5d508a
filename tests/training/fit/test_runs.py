"""Runs that end in a model folder a fold, go on only with what they were started with, and say what they know."""

from __future__ import annotations

import json
import math
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mdhr_sdk.errors import ConfigError, TrainingError
from mdhr_sdk.model import load_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.subjects import check_subjects
from mdhr_sdk.training.evaluate.evaluation import TUNED, evaluate_run
from mdhr_sdk.training.fit import record, runs
from mdhr_sdk.training.fit.fit import FoldData
from mdhr_sdk.training.fit.settings import Settings, read_settings
from patterns import T, fold_data, settings


def data_of(chosen: Settings, fold: int, inner: bool) -> FoldData:
    return fold_data(videos=4 if inner else 6, tests=3)


def test_a_run_does_not_go_on_with_other_data_or_settings(tmp_path: Path) -> None:
    chosen = settings("trainer.epochs=1")
    run = tmp_path / "run"
    runs.start(chosen, run, [1])
    runs.train(run, data_of)
    shutil.rmtree(run / "fold1" / "model")
    data = data_of(chosen, 1, False)
    assert data.trained_on is not None
    labels = data.trained_on.labels.copy()
    labels[5, 1] = 1 - abs(labels[5, 1])
    moved = replace(data.trained_on, paths=("x.jpg", *data.trained_on.paths[1:]))
    for other in (fold_data(7, 3), replace(data, trained_on=replace(data.trained_on, labels=labels)),
                  replace(data, trained_on=moved)):  # fmt: skip
        with pytest.raises(TrainingError, match=r"fold1' was started with other training frames or labels than it"):
            runs.train(run, lambda *_, other=other: other)
    with pytest.raises(TrainingError, match=r"with other training frames .* and validation frames or labels than"):
        runs.train(run, lambda *_: fold_data(7, 4))
    text = (run / "settings.yaml").read_text()
    (run / "settings.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.002"))
    with pytest.raises(TrainingError, match=r"settings.yaml' was changed since the run was started"):
        runs.train(run, data_of)
    (run / "settings.yaml").write_text(text.replace("log_every: 1", "log_every: 2").replace(str(Path.cwd()), "/moved"))
    (folder,) = runs.train(run, data_of)  # killed between the last checkpoint and the model folder
    assert load_model(folder).config.label_set.name == "mine"
    assert not (run / "fold1" / "unfinished").exists()
    with pytest.raises(TrainingError, match="holds no run"):
        runs.train(tmp_path / "none", data_of)


def test_a_model_folder_has_what_was_chosen_and_says_whom_it_was_trained_on(tmp_path: Path) -> None:
    runs.start(settings("data.held_out=0.3", "trainer.epochs=1"), tmp_path / "run", [2])
    (path,) = runs.train(tmp_path / "run", data_of)
    folder = ModelFolder.open(path)
    (chosen,) = (result.folds[0] for result in evaluate_run(tmp_path / "run") if result.protocol == TUNED)
    assert folder.config.trained and folder.config.thresholds == chosen.thresholds and folder.config.clip_length == T
    assert "fold 2, epoch 1 of 1, epoch and thresholds chosen on held-out" in folder.config.provenance
    assert runs.train(tmp_path / "run", data_of) == [path]  # nothing left to do
    assert json.loads(folder.read("trained_on.json"))["subjects"] == [f"F{video:03d}" for video in range(6)]
    check_subjects(folder, "mine", 1, ("M001", "M002"))
    check_subjects(folder, "another", 1, ("F001",))
    with pytest.raises(ConfigError, match=r"trained on 2 of the subjects \(F001, F004\) that fold 1 tests.*--fold 2"):
        check_subjects(folder, "mine", 1, ("M001", "F004", "F001", "F001"))
    (path / "trained_on.json").unlink()
    check_subjects(folder, "mine", 1, ("F001",))


def others_of(*asked: Any) -> FoldData:
    """The same with another person to train on."""
    data = data_of(*asked)
    assert data.trained_on is not None
    names = ("N000",) * len(data.trained_on.subjects)
    return replace(data, trained_on=replace(data.trained_on, subjects=names))


def test_a_run_does_not_start_from_weights_that_have_seen_whom_it_is_judged_on(tmp_path: Path) -> None:
    runs.start(settings("trainer.epochs=1"), tmp_path / "first", [1])
    (first,) = runs.train(tmp_path / "first", data_of)

    def swapped(chosen: Settings, fold: int, inner: bool) -> FoldData:
        data = data_of(chosen, fold, inner)
        assert data.trained_on is not None
        return replace(data, frames=data.trained_on)

    word = f"start.folder={first}"
    runs.start(settings("trainer.epochs=1", word), tmp_path / "leak", [1])
    with pytest.raises(ConfigError, match=r"the model of start.folder was trained on 6 of .*data.held_out=0"):
        runs.train(tmp_path / "leak", swapped)
    assert not list((tmp_path / "leak").rglob("*.ckpt"))

    runs.start(settings("trainer.epochs=1", word), tmp_path / "second", [1])
    told: list[str] = []
    (second,) = runs.train(tmp_path / "second", others_of, tell=told.append)
    assert told[0].startswith(f"fold 1 starts from '{first}': took ") and "starts anew" not in told[0]
    made = ModelFolder.open(second).config
    assert made.name == "second-fold1" and "started with all of model: mdhr_sdk" in made.provenance
    noted = json.loads(ModelFolder.open(second).read("trained_on.json"))
    assert noted["subjects"] == ["N000"] and noted["earlier"][0]["subjects"][0] == "F000"
    shutil.rmtree(tmp_path / "first")  # what a finished start leaves behind is not needed to go on
    shutil.rmtree(second)
    assert runs.train(tmp_path / "second", others_of) == [second]
    with pytest.raises(ConfigError, match=r"1 of the subjects \(F003\)"):  # whom the first had seen, not the second
        check_subjects(ModelFolder.open(second), "mine", 1, ("F003", "M001"))


@pytest.mark.slow
def test_a_run_that_is_extended_goes_on_by_the_longer_cosine(tmp_path: Path) -> None:
    run = tmp_path / "run"
    runs.start(settings("trainer.epochs=2"), run, [1])
    (made,) = runs.train(run, data_of)
    with pytest.raises(ConfigError, match=r"has 2 epochs, and can only be given more; got trainer.epochs=2"):
        runs.extend(run, 2)
    runs.extend(run, 4)
    assert not made.exists() and ModelFolder.open(made.with_name("model_0002")).config.name == "run-fold1"
    runs.train(run, data_of)
    logs = [pd.read_csv(run / "fold1" / "logs" / f"start_{n}" / "metrics.csv").dropna(subset="loss") for n in (0, 1)]
    steps = len(logs[0]) // 2  # an epoch
    factors = [0.5 * (1 + math.cos(math.pi * step / (4 * steps))) for step in range(2 * steps, 4 * steps)]
    assert logs[1].learning_rate.tolist() == pytest.approx([1e-3 * factor for factor in factors], rel=1e-5)
    assert logs[1].epoch.tolist() == [3.0] * steps + [4.0] * steps
    told = ModelFolder.open(made).config.provenance
    assert "epoch 4 of 4" in told and "extended from 2 epochs" in told
    assert [fold.epoch for fold in evaluate_run(run)[0].folds] == [4]
    text = (run / "settings.yaml").read_text()
    (run / "settings.yaml").write_text(text.replace("epochs: 4", "epochs: 5"))
    with pytest.raises(TrainingError, match="was changed since the run was started"):
        runs.train(run, data_of)


def test_a_start_that_was_killed_can_be_made_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    runs.start(settings(), run, [1])
    (run / ".mdhr-writing-12345678").mkdir()
    (run / "record.json").rename(run / ".mdhr-writing-12345678" / "record.json")
    runs.start(settings(), run, [1])
    assert (run / "record.json").is_file()
    with pytest.raises(ConfigError, match=r"not an empty folder"):
        runs.start(settings(), run, [1])


def test_a_run_that_goes_on_with_other_versions_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    runs.start(settings(), run, [1])
    now = record.surroundings()
    assert now["torch"] == torch.__version__.split("+")[0] and record.read_record(run)["starts"] == [now]
    record.note_surroundings(run, record.read_record(run))
    assert not caplog.records
    monkeypatch.setattr(record, "surroundings", lambda: {**now, "torch": "9.9"})
    for _ in range(2):  # said once
        record.note_surroundings(run, record.read_record(run))
    assert [one.getMessage() for one in caplog.records] == [
        f"'{run}' goes on with torch {now['torch']} -> 9.9: its figures are of neither alone"
    ]
    assert [one["torch"] for one in record.read_record(run)["starts"]] == [now["torch"], "9.9"]


def test_starts_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^start\.folder: .*nothing.* earlier run, train that one first"):
        runs.start_note(settings(f"start.folder={tmp_path / 'nothing'}"))
    with pytest.raises(ConfigError, match=r"freeze_norms keeps statistics .* set start.folder"):
        runs.start(settings("optimiser.freeze_norms=true"), tmp_path / "run", [1])


def test_other_processes_wait_until_the_first_has_made_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(runs, "PATIENCE_S", 0)
    with pytest.raises(TrainingError, match=r"the first process made no '.*record.json' in 0 s"):
        runs.start(settings(), tmp_path / "run", [1])
    monkeypatch.setattr(runs, "PATIENCE_S", 60)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(runs.start, settings(), tmp_path / "run", [1])
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "settings.yaml").write_text("")
        time.sleep(0.3)
        assert not waiting.done()
        (tmp_path / "run" / "record.json").write_text("{}")
        assert waiting.result(timeout=60) is None


def test_a_run_goes_on_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs.start(settings("data.lists=a/list", "data.dataset=mine.yaml", "start.folder=m"), tmp_path / "run", [1])
    made = read_settings(tmp_path / "run" / "settings.yaml")
    assert (made.data.lists, made.data.images) == (str(tmp_path / "a" / "list"), str(tmp_path / "img"))
    assert (made.data.dataset, made.start.folder) == (str(tmp_path / "mine.yaml"), str(tmp_path / "m"))
    assert settings().anywhere().data.dataset == "bp4d" and settings().anywhere().start.folder is None
