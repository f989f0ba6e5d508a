"""Protocols that choose only from what they may see, and what is said of two models."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import ttest_rel

from mdhr_sdk.cli.training.evaluate import as_json, comparison_table, run_evaluate
from mdhr_sdk.errors import ConfigError, InputError
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
from patterns import settings


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
    nan, infinite = float("nan"), TestResult(float("inf"), 0.0)
    nowhere = Comparison((0.5, nan), Interval(0.1, nan, 0.2), infinite, TestResult(nan, nan), infinite)
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


def test_the_scores_of_every_protocol_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = run_folder(tmp_path / "run", folds=1), tmp_path / "out"
    run_evaluate(folder, (), (), str(folder), out)
    content = json.loads((out / "evaluation.json").read_text())
    names = [one["folds"][0]["scores"] for one in content["protocols"]]
    assert names == ["predictions_fold1.npz", *["predictions_fold1_epoch_0002.npz"] * 2, "predictions_fold1.npz"]
    for name, epoch in ((names[0], 3), (names[1], 2)):
        saved = Predictions.load(folder / "fold1" / f"epoch_{epoch:04d}.npz")
        np.testing.assert_array_equal(Predictions.load(out / name).scores, saved.scores)
        assert (out / name).with_suffix(".csv").is_file()
    assert len(content["comparison"]["difference_95_by_protocol"]) == 4
    assert "difference of F1, epoch chosen on held-out" in capsys.readouterr().out.replace("\n", " ")


def test_models_are_compared_by_the_aus_of_both() -> None:
    good, bad = predictions(0, noise=0.2), predictions(1, noise=0.8)
    result = compare([good.of(["AU04", "AU01"])], [bad.of(["AU12", "AU04"])])
    assert (
        result.codes == ("AU04",)
        and result.f1[0] == count(good.scores[:, 1:2] >= 0.5, good.frames.labels[:, 1:2]).f1_macro
    )
    with pytest.raises(InputError, match="no AU in common: AU01 against AU12"):
        compare([good.of(["AU01"])], [bad.of(["AU12"])])


def test_two_models_on_the_same_frames() -> None:
    good, bad = predictions(0, noise=0.2), predictions(1, noise=0.8)
    result, turned = compare([good, good], [bad, bad]), compare([bad, bad], [good, good])
    for one, sign in ((result, 1), (turned, -1)):  # a plus is for the first, in all of them
        signs = (one.difference.value, one.subjects.statistic, one.frames.statistic, one.right[0] - one.right[1])
        assert all(sign * value > 0 for value in signs)
    assert _printed(comparison_table("a", "b", turned)).count("the second") == 4
    assert result.f1[0] > result.f1[1] and result.frames.p_value < 0.01 and result.decisions.p_value < 0.01
    assert result.difference.value == pytest.approx(result.f1[0] - result.f1[1]) and result.difference.low > 0
    assert compare([good], [good]).subjects.p_value == 1
    alone = dataclasses.replace(good, frames=dataclasses.replace(good.frames, subjects=("F0",) * 60))
    one = compare([alone], [alone])
    assert np.isnan(one.subjects.p_value) and one.decisions.p_value == 1
    assert " - " in _printed(comparison_table("a", "b", one)) and np.isnan(one.difference.low)  # one subject
    with pytest.raises(InputError, match="same frames"):
        compare([good], [predictions(0, rows=50)])


def test_a_false_alarm_where_nothing_occurs_takes_no_au_from_a_mean() -> None:
    """A better model with one false frame in an AU that the subject never shows must not lose against a worse one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (400, 2)).astype(np.int8)
    subjects = tuple(f"F{row // 40}" for row in range(400))
    labels[:, 1] *= rng.random(400) < 0.02  # hardly ever
    better = np.where(rng.random((400, 2)) < 0.9, labels, 1 - labels) * [1, 0] + [0, 1] * (rng.random((400, 1)) < 0.05)
    worse = np.where(rng.random((400, 2)) < 0.7, labels, 1 - labels) * [1, 0]
    frames = Frames(("AU01", "AU04"), labels, subjects, tuple(map(str, range(400))), np.arange(0, 400, 40))
    ours, theirs = (Predictions(frames, one.astype(np.float32)) for one in (better, worse))
    result = compare([ours], [theirs])
    assert result.subjects.statistic > 3 and result.subjects.p_value < 0.01

    def slow(one: np.ndarray, mine: slice) -> float:
        aus = [au for au in (0, 1) if labels[mine, au].any()]
        return float(np.mean([sk.f1_score(labels[mine, au], one[mine, au], zero_division=0) for au in aus]))

    pairs = [[slow(one > 0.5, slice(at, at + 40)) for one in (better, worse)] for at in range(0, 400, 40)]
    assert result.subjects.statistic == pytest.approx(ttest_rel(*np.array(pairs).T).statistic)


def test_the_area_of_an_au_is_the_mean_of_the_folds_that_have_one() -> None:
    rng, folds = np.random.default_rng(1), []
    for fold in range(2):
        labels = rng.integers(-1, 2, (80, 3)).astype(np.int8)
        labels[:, 2] *= fold  # nothing to tell apart in the first
        frames = Frames(("AU01", "AU04", "AU12"), labels, ("F0",) * 80, tuple(map(str, range(80))), np.array([0]))
        folds.append(Predictions(frames, np.clip(labels + rng.normal(0, 1, (80, 3)), 0, 1).astype(np.float32)))
    result = Result(LAST, folds[0].frames.codes, tuple(judge(one, (0.5,) * 3, fold) for fold, one in enumerate(folds)))

    def area(one: Predictions, au: int) -> float:
        known = one.frames.labels[:, au] >= 0
        return float(sk.roc_auc_score(one.frames.labels[known, au], one.scores[known, au]))

    wanted = [(area(folds[0], au) + area(folds[1], au)) / 2 for au in range(2)] + [area(folds[1], 2)]
    np.testing.assert_allclose(result.areas, wanted, rtol=1e-6)
    told = as_json([result], None)["protocols"][0]["mean"]["auc_by_au"]
    assert told == pytest.approx(dict(zip(result.codes, wanted, strict=True)))


def _printed(table: object) -> str:
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(table)
    return console.export_text()
