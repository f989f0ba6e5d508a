"""Protocols that choose only from what they may see, and a run that ends in a model folder."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.console import Console

from mdhr_sdk.aus import label_set
from mdhr_sdk.cli.evaluate import as_json, comparison_table, run_evaluate
from mdhr_sdk.errors import ConfigError, InputError, TrainingError
from mdhr_sdk.model import load_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.subjects import check_subjects
from mdhr_sdk.training.evaluate.comparison import Comparison, compare
from mdhr_sdk.training.evaluate.evaluation import (
    BEST,
    LAST,
    NESTED,
    TUNED,
    Result,
    best_threshold,
    choose,
    evaluate_run,
    judge,
)
from mdhr_sdk.training.evaluate.metrics import count
from mdhr_sdk.training.evaluate.predictions import Frames, Predictions
from mdhr_sdk.training.evaluate.statistics import Interval, TestResult
from mdhr_sdk.training.fit import record, runs
from mdhr_sdk.training.fit.fit import FoldData
from mdhr_sdk.training.fit.settings import Settings, read_settings
from patterns import T, fold_data, settings


def predictions(seed: int, rows: int = 60, noise: float = 0.3) -> Predictions:
    """Three AUs of six subjects, two of them with a gap; scores that follow the labels."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (rows, 3)).astype(np.int8)
    scores = np.clip(labels + np.random.default_rng(seed).normal(0, noise, labels.shape), 0, 1).astype(np.float32)
    labels[rng.random(labels.shape) < 0.1] = -1
    subjects = tuple(f"F{row // 10}" for row in range(rows))
    starts = np.arange(0, rows, 5, dtype=np.int64)
    return Predictions(Frames(("AU01", "AU04", "AU12"), labels, subjects, tuple(map(str, range(rows))), starts), scores)


def run_folder(path: Path, folds: int = 2) -> Path:
    """A finished run of two validated epochs: on held-out subjects the first is better, on the test fold the second."""
    for fold in range(1, folds + 1):
        for folder, noises in ((f"fold{fold}", (0.9, 0.2)), (f"fold{fold}/held_out", (0.2, 0.9))):
            (path / folder).mkdir(parents=True)
            for epoch, noise in zip((2, 3), noises, strict=True):
                predictions(fold, noise=noise).save(path / folder / f"epoch_{epoch:04d}.npz")
    (path / "settings.yaml").write_text(settings().to_yaml())
    (path / "record.json").write_text(json.dumps({"folds": list(range(1, folds + 1)), "settings": ""}))
    return path


def test_every_protocol_takes_its_epoch_from_where_it_may(tmp_path: Path) -> None:
    results = {result.protocol: result for result in evaluate_run(run_folder(tmp_path))}
    assert list(results) == [LAST, NESTED, TUNED, BEST]
    epochs = {protocol: [fold.epoch for fold in result.folds] for protocol, result in results.items()}
    assert epochs == {LAST: [3, 3], NESTED: [2, 2], TUNED: [2, 2], BEST: [3, 3]}
    assert [protocol.optimistic for protocol in results] == [False, False, False, True]
    thresholds = choose(tmp_path / "fold1" / "held_out").thresholds
    assert results[TUNED].folds[0].thresholds == thresholds and results[NESTED].folds[0].thresholds == (0.5,) * 3
    last = [Predictions.load(tmp_path / f"fold{fold}" / "epoch_0003.npz") for fold in (1, 2)]
    each = [count(one.scores >= 0.5, one.frames.labels).f1_macro for one in last]
    assert results[LAST].f1 == pytest.approx(np.mean(each), abs=1e-12)
    interval = results[LAST].interval
    assert interval.low < interval.value < interval.high and interval.value == pytest.approx(results[LAST].f1)


def test_an_unfinished_run_is_not_judged_as_if_it_were(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder / "fold2" / "epoch_0003.npz").unlink()
    with pytest.raises(InputError, match=r"fold2' is at epoch 2 of 3; finish it: mdhr train --resume"):
        evaluate_run(folder)


def test_a_run_without_all_its_folds_is_judged_only_on_those_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder / "fold1_old").mkdir()
    (folder / "fold1" / "epoch_best.npz").touch()
    assert [fold.fold for fold in evaluate_run(folder)[0].folds] == [1, 2]
    shutil.rmtree(folder / "fold2")
    with pytest.raises(InputError, match=r"was started with folds \[1, 2\] and has none of \[2\] yet; .*--fold"):
        evaluate_run(folder)
    assert [fold.fold for fold in evaluate_run(folder, [1])[0].folds] == [1]
    (folder / "record.json").write_text("{}")
    with pytest.raises(InputError, match=r"record.json' is not what mdhr train wrote .* --fold 1 2 3"):
        evaluate_run(folder)


def test_a_run_against_a_model_needs_frames_for_it_before_anything_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"'edge' is a model folder; .* CONFIG --fold 1 --against edge"):
        run_evaluate(folder, (), (), "edge", None)
    assert capsys.readouterr().out == ""


def test_figures_that_are_no_numbers_are_null(tmp_path: Path) -> None:
    """Errors that differ by a constant have no deviation: t is infinite; one known subject leaves no interval."""
    one = predictions(0)
    infinite = TestResult(float("inf"), 0.0)
    nowhere = Comparison(
        (0.5, float("nan")),
        Interval(0.1, float("nan"), 0.2),
        infinite,
        TestResult(float("nan"), float("nan")),
        infinite,
    )
    results = [Result(LAST, one.frames.codes, (judge(one, (0.5,) * 3),))]
    content = json.loads(json.dumps(as_json(results, nowhere), allow_nan=False))
    assert content["comparison"]["subjects"] == {"statistic": None, "p_value": 0.0}
    assert content["comparison"]["frames"] == {"statistic": None, "p_value": None}
    assert content["comparison"]["f1"] == [0.5, None]
    assert content["comparison"]["difference_95"] == {"value": 0.1, "low": None, "high": 0.2}


@hypothesis_settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), rows=st.integers(1, 30), levels=st.sampled_from([2, 5, 1000]))
def test_the_best_threshold_is_the_best_of_all(seed: int, rows: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, rows) / (levels - 1)).astype(np.float32)
    labels = rng.integers(-1, 2, rows).astype(np.int8)

    def f1(threshold: float) -> float:
        return float(np.nan_to_num(count((scores >= np.float32(threshold))[:, None], labels[:, None]).f1_macro))

    found = best_threshold(scores, labels)
    assert 0 <= found <= 1
    if (labels == 1).any():
        assert f1(found) == max(f1(threshold) for threshold in [0.0, *scores.tolist()])


def test_judging_counts_what_is_known() -> None:
    one = predictions(0)
    result = judge(one, (0.5, 0.4, 0.6))
    decided = one.scores >= np.array([0.5, 0.4, 0.6], np.float32)
    np.testing.assert_array_equal(result.counts.tp, count(decided, one.frames.labels).tp)
    assert result.subjects.tp.shape == (6, 3)


def test_predictions_go_to_disk_and_back(tmp_path: Path) -> None:
    one = predictions(0)
    one.save(tmp_path / "p.npz")
    again = Predictions.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(again.scores, one.scores)
    assert again.frames.subjects == one.frames.subjects and again.frames.codes == one.frames.codes
    one.to_csv(tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0].split(",")[:3] == ["path", "subject", "AU01_label"] and len(lines) == 61
    (tmp_path / "p.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"p\.npz' holds no predictions"):
        Predictions.load(tmp_path / "p.npz")


def test_two_models_on_the_same_frames() -> None:
    good, bad = predictions(0, noise=0.2), predictions(1, noise=0.8)
    result = compare([good, good], [bad, bad])
    assert result.f1[0] > result.f1[1] and result.frames.p_value < 0.01 and result.decisions.p_value < 0.01
    assert result.difference.value == pytest.approx(result.f1[0] - result.f1[1]) and result.difference.low > 0
    assert compare([good], [good]).subjects.p_value == 1
    alone = dataclasses.replace(good, frames=dataclasses.replace(good.frames, subjects=("F0",) * 60))
    one = compare([alone], [alone])
    assert np.isnan(one.subjects.p_value) and one.decisions.p_value == 1
    assert " - " in _printed(comparison_table("a", "b", one))
    with pytest.raises(InputError, match="same frames"):
        compare([good], [predictions(0, rows=50)])


def _printed(table: object) -> str:
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(table)
    return console.export_text()


def data_of(chosen: Settings, fold: int, inner: bool) -> FoldData:
    return fold_data(videos=4 if inner else 6, tests=3)


@pytest.mark.slow
def test_a_run_ends_in_a_model_folder_a_fold(tmp_path: Path) -> None:
    chosen = settings("data.held_out=0.3", "trainer.epochs=2", "trainer.validate_every=1")
    runs.start(chosen, tmp_path / "run", [2])
    (folder,) = runs.train(tmp_path / "run", data_of)
    assert folder == tmp_path / "run" / "fold2" / "model"
    model = load_model(folder)
    results = {result.protocol: result.folds[0] for result in evaluate_run(tmp_path / "run")}
    config = ModelFolder.open(folder).config
    assert config.trained and config.thresholds == results[TUNED].thresholds
    assert f"epoch {results[TUNED].epoch} of 2" in config.provenance and "fold 2" in config.provenance
    assert config.clip_length == T
    data = data_of(chosen, 2, False)
    clips = torch.stack([data.validation[0, index]["clip"] for index in range(3)])
    with torch.no_grad():
        scores = model(clips).scores.flatten(0, 1).numpy()
    saved = Predictions.load(tmp_path / "run" / "fold2" / f"epoch_{results[TUNED].epoch:04d}.npz")
    np.testing.assert_allclose(scores, saved.scores, atol=1e-5)
    assert runs.train(tmp_path / "run", data_of) == [folder]  # nothing left to do
    with pytest.raises(ConfigError, match="go on with: mdhr train --resume"):
        runs.start(chosen, tmp_path / "run", [2])


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


def test_a_model_folder_says_whom_it_was_trained_on(tmp_path: Path) -> None:
    runs.start(settings("trainer.epochs=1"), tmp_path / "run", [2])
    (path,) = runs.train(tmp_path / "run", data_of)
    folder = ModelFolder.open(path)
    assert json.loads(folder.read("trained_on.json"))["subjects"] == [f"F{video:03d}" for video in range(6)]
    check_subjects(folder, "mine", 1, ("M001", "M002"))
    check_subjects(folder, "another", 1, ("F001",))
    with pytest.raises(ConfigError, match=r"trained on 2 of the subjects \(F001, F004\) that fold 1 tests.*--fold 2"):
        check_subjects(folder, "mine", 1, ("M001", "F004", "F001", "F001"))
    (path / "trained_on.json").unlink()
    check_subjects(folder, "mine", 1, ("F001",))


def test_a_run_does_not_start_from_weights_that_have_seen_whom_it_is_judged_on(tmp_path: Path) -> None:
    runs.start(settings("trainer.epochs=1"), tmp_path / "first", [1])
    (first,) = runs.train(tmp_path / "first", data_of)

    def swapped(chosen: Settings, fold: int, inner: bool) -> FoldData:
        data = data_of(chosen, fold, inner)
        assert data.trained_on is not None
        return dataclasses.replace(data, frames=data.trained_on)

    word = f"start.folder={first}"
    runs.start(settings("trainer.epochs=1", word), tmp_path / "leak", [1])
    with pytest.raises(ConfigError, match=r"the model of start.folder was trained on 6 of .*data.held_out=0"):
        runs.train(tmp_path / "leak", swapped)
    assert not list((tmp_path / "leak").rglob("*.ckpt"))

    runs.start(settings("trainer.epochs=1", word), tmp_path / "second", [1])
    (second,) = runs.train(tmp_path / "second", lambda *asked: _others(data_of(*asked)))
    noted = json.loads(ModelFolder.open(second).read("trained_on.json"))
    assert noted["subjects"] == ["N000"] and noted["earlier"][0]["subjects"][0] == "F000"
    shutil.rmtree(tmp_path / "first")  # what a finished start leaves behind is not needed to go on
    shutil.rmtree(second)
    assert runs.train(tmp_path / "second", lambda *asked: _others(data_of(*asked))) == [second]
    with pytest.raises(ConfigError, match=r"1 of the subjects \(F003\)"):  # whom the first had seen, not the second
        check_subjects(ModelFolder.open(second), "mine", 1, ("F003", "M001"))


def _others(data: FoldData) -> FoldData:
    assert data.trained_on is not None
    names = ("N000",) * len(data.trained_on.subjects)
    return dataclasses.replace(data, trained_on=dataclasses.replace(data.trained_on, subjects=names))


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


def test_a_start_that_is_missing_is_named_as_the_settings_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^start\.folder: .*nothing.* earlier run, train that one first"):
        runs.start_note(settings(f"start.folder={tmp_path / 'nothing'}"))


def test_norms_of_an_untrained_head_are_not_frozen(tmp_path: Path) -> None:
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


def test_the_label_set_of_a_run_is_its_data_sets() -> None:
    assert settings().model_config(label_set("disfa")).label_set.name == "disfa"
