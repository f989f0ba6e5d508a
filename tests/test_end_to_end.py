"""From a tree of images to results: train, evaluate, export, detect, each as a person types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from fakes import write_film
from mdhr_sdk.cli import app as cli
from mdhr_sdk.cli.training.train import all_folds, sorted_words
from mdhr_sdk.errors import ConfigError, DataError
from mdhr_sdk.model import build_mdhr, save_model
from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.datasets import dataset
from mdhr_sdk.training.evaluate.folder_scoring import score_folder
from mdhr_sdk.training.evaluate.predictions import Predictions
from mdhr_sdk.training.fit.augment import resize
from mdhr_sdk.training.fit.settings import read_settings
from processes import finished, run_python, started, until
from tiny_tree import write_tree


@pytest.fixture
def mdhr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """Runs `mdhr WORDS`; returns its exit code, and what it said."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object) -> SimpleNamespace:
        monkeypatch.setattr("sys.argv", ["mdhr", *map(str, words)])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        told = capsys.readouterr()
        return SimpleNamespace(code=code, out=told.out, err=told.err)

    return run


def refused(done: SimpleNamespace) -> str:
    """The one line of an error."""
    assert done.code == 2 and done.err.count("\n") == 1 and done.err.startswith("error: "), done.err
    return done.err


@pytest.mark.slow
def test_the_paper_preset_from_images_to_results(tmp_path: Path, demo_frames: np.ndarray, mdhr: Callable) -> None:
    config = write_tree(tmp_path / "data", size_px=128, backbone="resnet18")
    run, other = tmp_path / "run", tmp_path / "other"
    words = ("model.au_width=32",)
    assert mdhr("train", config, *words, "--fold", 2, "--out", run).code == 0
    model = run / "fold2" / "model"
    settings = ModelFolder.open(model).config
    assert settings.trained and settings.model.backbone == "resnet18" and settings.model.k == 5
    assert "fold 2, epoch" in settings.provenance

    changes = ("trainer.seed=1", "data.held_out=0", "trainer.epochs=1")
    assert mdhr("train", config, *words, *changes, "--fold", 2, "--out", other).code == 0
    done = mdhr("evaluate", run, "--against", other, "--out", tmp_path / "figures")
    assert done.code == 0 and all(word in done.out for word in ("optimistic", "McNemar", "F1 AU12", "AUC AU12"))
    figures = json.loads((tmp_path / "figures" / "evaluation.json").read_text())
    assert [one["optimistic"] for one in figures["protocols"]] == [False, False, False, True]
    assert len(pd.read_csv(tmp_path / "figures" / "predictions_fold2.csv")) == 20

    # whom fold 1 tests, fold 2 trains on
    told = "was trained on 2 of the subjects (anna, ben) that fold 1 tests"
    done = mdhr("evaluate", model, config, "--fold", 1)
    assert done.code == 2 and told in done.err
    done = mdhr("evaluate", model, config, "--fold", 2, "--out", tmp_path / "again", "--against", model)
    assert done.code == 0 and "difference of F1" in done.out
    saved = Predictions.load(tmp_path / "again" / "predictions_fold2.npz")
    epoch = int(settings.provenance.split("epoch ")[1].split()[0])
    trained = Predictions.load(run / "fold2" / f"epoch_{epoch:04d}.npz")
    assert abs(saved.scores - trained.scores).max() < 1e-5

    assert mdhr("export", model, "--graph", "clip").code == 0
    out, video = tmp_path / "results", write_film(tmp_path / "demo.mp4", list(demo_frames[:40]))
    assert mdhr("detect", video, "--model", model, "--out", out, "--no-overlay").code == 0
    results = pd.read_csv(out / "demo_aus.csv")
    assert len(results) == 40 and list(results.filter(like="_probability").columns) == [
        f"AU{au:02d}_probability" for au in (1, 4, 12)
    ]
    assert not results.model.str.contains("untrained").any()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_under_its_own_settings(tmp_path: Path, mdhr: Callable) -> None:
    config = write_tree(tmp_path / "data")
    run = tmp_path / "run"
    words = ("data.held_out=0", "trainer.epochs=1", "--fold", 3, 1, "--out", run)
    assert mdhr("train", config, *words).code == 0
    assert sorted(path.name for path in run.glob("fold*/model")) == ["model"] * 2
    done = mdhr("train", config, *words)
    assert done.code == 2 and f"go on with: mdhr train --resume {run}" in done.err
    assert mdhr("train", "--resume", run).code == 0
    done = mdhr("train", "--resume", run, "trainer.seed=5")
    assert done.code == 2 and "keeps its settings" in done.err


@pytest.mark.slow
def test_a_study_prints_its_table_and_goes_on(tmp_path: Path, mdhr: Callable) -> None:
    config = write_tree(tmp_path / "data")
    words = ("ablate", "regions", config, "data.held_out=0", "trainer.epochs=1", "--fold", 1, "--out", tmp_path / "a")
    for _ in range(2):
        done = mdhr(*words, "--json", tmp_path / "a.json")
        assert done.code == 0 and "released" in done.out
    assert [row["name"] for row in json.loads((tmp_path / "a.json").read_text())["rows"]] == ["released", "paper"]
    done = mdhr(*words[:3], "trainer.epochs=2", *words[4:])
    assert done.code == 2 and "other settings" in done.err


@pytest.mark.slow
def test_two_processes_go_through_a_study_together(tmp_path: Path) -> None:
    """Folders that the first process makes are there when the second looks for them."""
    config = write_tree(tmp_path / "data")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mdhr_sdk")
    words = ("data.held_out=0", "trainer.epochs=1", "trainer.devices=2", "--fold", 1, "--out", tmp_path / "a")
    done = run_python(*launcher, "ablate", "regions", config, *words, timeout_s=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Region groups") == 1
    assert sorted(path.parts[-3] for path in (tmp_path / "a").glob("*/fold1/model")) == ["01", "02"]


@pytest.mark.slow
def test_a_new_user_starts_from_the_bundled_model(tmp_path: Path, mdhr: Callable, caplog: Any) -> None:
    """Judged by the AUs that it shares with the data, then trained on; bad settings are refused before a run exists."""
    config = write_tree(tmp_path / "data", aus=(1, 4, 27))  # edge does not score AU27
    done = mdhr("evaluate", "edge", config, "--fold", 1, "--out", tmp_path / "judged")
    assert done.code == 0 and "judged on the 2 AUs that the model and the data share: AU01 AU04;" in done.out
    assert json.loads((tmp_path / "judged" / "evaluation.json").read_text())["aus"]["data_alone"] == ["AU27"]
    run, words = tmp_path / "run", ("--fold", 1, "--out", tmp_path / "run", "data.held_out=0", "trainer.epochs=1")
    for change, told in (
        ("start.folder=edge", "AU27 here), backbone (mobilenetv4_conv_small there, test_resnet here)"),
        ("trainer.accelerator=gpu", "trainer: "),
        ("optimiser.freeze=[encodr]", "no parameter's name starts with 'encodr'"),
        ("trainer.wandb=x", "pip install -e '.[wandb]'"),
    ):
        if ("gpu" in change and torch.cuda.is_available()) or ("wandb" in change and find_spec("wandb")):
            continue
        assert told.replace("AU27", "27") in refused(mdhr("train", config, change, *words)) and not run.exists()
    backbone = ("start.folder=edge", "start.take=backbone", "model.backbone=mobilenetv4_conv_small")
    done = mdhr("train", config, *backbone, *words)
    assert done.code == 0 and "starts from 'edge': took 270 tensors whole (encoder.backbone 270)" in done.out
    assert "reads faces of 128 px, and model.input_size_px is 64" in caplog.text
    made = ModelFolder.open(run / "fold1" / "model").config
    assert (made.name, made.trained_on) == ("run-fold1", "synthetic faces, then tiny")
    assert "started with backbone of edge: mdhr_sdk, docs/recipes/edge_a.yaml" in made.provenance
    done = mdhr("figures", "--judged", run, "--out", tmp_path / "figures")
    assert done.code == 0 and len(list((tmp_path / "figures").glob("*.png"))) == 3
    assert pd.read_csv(tmp_path / "figures" / "confusion.csv").set_index("au").sum(axis=1).tolist() == [20, 20, 20]


def test_all_folds_are_those_of_the_data_set(tmp_path: Path) -> None:
    write_tree(tmp_path)
    spec = tmp_path / "tiny.yaml"
    spec.write_text(spec.read_text().replace(", [eve, finn]]", "]"))
    assert all_folds(read_settings(None, [f"data.dataset={spec}"])) == (1, 2)
    assert all_folds(read_settings(None, ["data.dataset=disfa"])) == (1, 2, 3)


def test_a_model_folder_is_scored_as_it_says_and_where_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normalisation that maps a picture to itself, halved, against pictures normalised here."""
    config = write_tree(tmp_path / "data")
    spec = dataset(tmp_path / "data" / "tiny.yaml")
    model = build_mdhr(
        spec.label_set, "test_resnet", input_size_px=64, projection_width=16, au_width=16, weight_width=4
    )
    halves = Preprocessing(size_px=64, mean=(0.0, 0.0, 0.0), std=(2.0, 2.0, 2.0))
    folder = save_model(model.eval(), tmp_path / "model", clip_length=4).update(preprocessing=halves)
    found = score_folder(folder, config, (), [1]).predictions
    paths = found[1].frames.paths[:4]
    pictures = [cv2.imread(str(tmp_path / "data" / "img" / path)) for path in paths]
    clip = np.stack([resize(picture, 64)[:, :, ::-1] for picture in pictures]).transpose(0, 3, 1, 2) / 510
    with torch.no_grad():
        expected = model(torch.from_numpy(clip[None].astype(np.float32))).scores[0]
    np.testing.assert_allclose(found[1].scores[:4], expected, atol=1e-5)
    for content, error in (('{"template": "another"}', ConfigError), ("[]", DataError)):
        (tmp_path / "data" / "prepare.json").write_text(content)
        with pytest.raises(error, match=r"was aligned by another|prepare.json' cannot be read"):
            score_folder(folder, config, (), [1])
    (tmp_path / "data" / "prepare.json").unlink()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="accelerator is gpu and PyTorch finds none here"):
        score_folder(folder, config, ("trainer.accelerator=gpu",), [1])


def rewrite_labels(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = root / "list" / "tiny_train_label_fold1.txt"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def break_au(root: Path) -> None:
    rewrite_labels(root, lambda lines: [f"{line[:4]}0" for line in lines])
    for name in ("sub_label", "weight"):
        (root / "list" / f"tiny_train_{name}_fold1.txt").unlink()


def break_subjects(root: Path) -> None:
    for kind in ("path", "label", "sub_label"):
        train, test = (root / "list" / f"tiny_{part}_{kind}_fold1.txt" for part in ("train", "test"))
        test.write_text(test.read_text() + train.read_text().splitlines()[0] + "\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: rewrite_labels(root, lambda lines: lines[:-1]), ("_label_fold1.txt", "39 rows", "line 40")),
        (lambda root: (root / "img" / "cara" / "3.jpg").unlink(), ("line 4", "cara/3.jpg")),
        (lambda root: rewrite_labels(root, lambda lines: [*lines[:4], "0 7 0", *lines[5:]]), ("line 5", "'7'")),
        (break_au, ("AU12",)),
        (break_subjects, ("cara", "is tested", "trained on")),
    ],
)
def test_bad_data_stops_early_in_one_line(
    damage: Callable[[Path], object], words: tuple[str, ...], tmp_path: Path, mdhr: Callable
) -> None:
    config = write_tree(tmp_path / "data")
    damage(tmp_path / "data")
    error = refused(mdhr("train", config, "--fold", 1, "--out", tmp_path / "run"))
    assert all(word in error for word in words), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train",), "expected CONFIG and --out RUN"),
        (("train", "a.yaml", "b.yaml", "--out", "x"), "expected one configuration file"),
        (("train", "none.yaml", "--out", "x"), "none.yaml"),
        (("train", "trainer.epoch=3", "--out", "x"), "did you mean 'epochs'"),
        (("train", "--resume", "none"), "holds no run"),
        (("ablate", "nothing", "trainer.epochs=1"), "unknown study 'nothing'"),
        (("ablate", "regions", "trainer.epochs=1", "--json", "none/x.json"), "--json needs a file in a folder that"),
        (("evaluate", "none"), "'none' does not exist; name the folder of a run (mdhr train) or of a model"),
        (("evaluate", "edge", "--fold", "1", "x.yaml", "--against", "none"), "'none' does not exist; name the folder"),
        (("evaluate", "edge"), "'edge' is a model folder; say what to judge it on: mdhr evaluate edge CONFIG --fold 1"),
        (("evaluate", "edge", "none.yaml"), "CONFIG --fold 1"),
    ],
)
def test_bad_words_are_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, mdhr: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(mdhr(*words))


def test_weights_that_cannot_be_fetched_leave_no_run_behind(
    tmp_path: Path, mdhr: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    config = write_tree(tmp_path / "data")
    monkeypatch.setattr("timm.create_model", offline)
    words = ("train", config, "start.pretrained=true", "data.held_out=0", "--fold", 1, "--out", tmp_path / "run")
    assert "start.pretrained=false" in refused(mdhr(*words))
    assert not (tmp_path / "run").exists()


def test_a_fold_given_twice_counts_once() -> None:
    assert sorted_words(["2", "1"], [1]) == (None, (1, 2), ())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on(how: signal.Signals, tmp_path: Path) -> None:
    config = write_tree(tmp_path / "data")
    run = tmp_path / "run"
    words = ("data.held_out=0", "trainer.epochs=100000", "trainer.validate_every=100000", "--fold", 1, "--out", run)
    call = [sys.executable, "-m", "mdhr_sdk", "train", config, *words]
    with started(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: process.poll() is not None or (run / "fold1" / "last.ckpt").is_file())
        process.send_signal(how)
        done = finished(process)
    assert done.returncode == 130, done.stderr
    assert f"go on with: mdhr train --resume {run}" in done.stdout.replace("\n", "")
    assert "Traceback" not in done.stderr
