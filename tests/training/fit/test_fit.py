"""Runs that stop anywhere and end the same; two processes that learn as one; nothing goes on after a bad loss."""

from __future__ import annotations

import itertools
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mdhr_sdk.errors import ConfigError, TrainingError
from mdhr_sdk.model import save_model
from mdhr_sdk.training.evaluate.evaluation import epochs_of, stopped_after
from mdhr_sdk.training.evaluate.metrics import count
from mdhr_sdk.training.evaluate.predictions import Predictions
from mdhr_sdk.training.fit import fit as fitting
from mdhr_sdk.training.fit import module
from mdhr_sdk.training.fit.fit import fit, score, starting_model
from mdhr_sdk.training.fit.stopping import best_so_far
from patterns import LABELS, Clips, T, fold_data, settings
from processes import run_python

# One factor for all of a node, whose length the cosine of its score takes out: a gradient of zero but for rounding,
# which differs from CPU to CPU.
ZERO = ("head.temporal.norm.weight",)
SCRIPT = Path(__file__).parents[2] / "support" / "training" / "run_patterns.py"


def process(folder: Path, *changes: str, batch: int = 0, save: int = 0, launcher: tuple[str, ...] = ()) -> Any:
    """A run in a process of its own, which kills itself at the given batch or validation of that process."""
    return run_python(*launcher, SCRIPT, folder, batch, save, *changes, timeout_s=300)


@pytest.mark.slow
def test_a_run_killed_anywhere_ends_with_the_same_weights(tmp_path: Path) -> None:
    changes = ("trainer.checkpoint_batches=2", "optimiser.ema=0.8", "data.workers=1", "optimiser.clip_norm=5.0")
    whole = process(tmp_path / "whole", *changes)
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "killed"
    # before the first checkpoint, while validating after the second epoch, and inside the third
    for batch, save in ((2, 0), (0, 1), (4, 0)):
        done = process(folder, *changes, batch=batch, save=save)
        assert done.returncode == -signal.SIGKILL, done.stderr
    done = process(folder, *changes)
    assert done.returncode == 0, done.stderr
    for name in ("epoch_0002.safetensors", "epoch_0003.safetensors"):
        ours, theirs = load_file(folder / name), load_file(tmp_path / "whole" / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
    ours, theirs = (Predictions.load(path / "epoch_0003.npz") for path in (folder, tmp_path / "whole"))
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    """BatchNorm keeps its statistics in both: on the CPU each process would normalise by its own half."""
    changes = ("optimiser.freeze_norms=true", "trainer.epochs=1", "trainer.validate_every=1")
    one = process(tmp_path / "compare", *changes)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    two = process(tmp_path / "two", *changes, "trainer.devices=2", launcher=launcher)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    ours, theirs = np.load(tmp_path / "two.gradient.npz"), np.load(tmp_path / "compare.gradient.npz")
    assert set(ours.files) == set(theirs.files) and len(ours.files) > 60
    largest = max(np.abs(theirs[name]).max() for name in theirs.files)
    for name in theirs.files:
        scale = largest if name in ZERO else np.abs(theirs[name]).max()
        limit = 1e-6 if name in ZERO else 1e-4
        np.testing.assert_allclose(ours[name], theirs[name], atol=limit * scale, rtol=0, err_msg=name)
        assert name not in ZERO or np.abs(theirs[name]).max() <= limit * scale, name
    first, second = (Predictions.load(tmp_path / name / "epoch_0001.npz") for name in ("compare", "two"))
    assert first.scores.shape == second.scores.shape == (4 * T, 3)
    np.testing.assert_allclose(first.scores, second.scores, atol=0.02)


@pytest.mark.slow
def test_two_processes_are_validated_with_one_set_of_statistics(tmp_path: Path) -> None:
    """Each has normalised by its own clips; the saved weights must give the saved scores."""
    accelerator = "cpu" if torch.cuda.is_available() else "auto"
    changes = ("trainer.epochs=1", "trainer.devices=2", f"trainer.accelerator={accelerator}")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = process(tmp_path / "two", *changes, launcher=launcher)
    assert done.returncode == 0, done.stderr
    model = starting_model(settings(), LABELS).eval()
    model.load_state_dict(load_file(tmp_path / "two" / "epoch_0001.safetensors"))
    ours = score(model, fold_data(), settings(), torch.device("cpu"))
    theirs = Predictions.load(tmp_path / "two" / "epoch_0001.npz").scores
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_loss_that_is_no_number_stops_at_once(tmp_path: Path) -> None:
    data = fold_data()

    class Broken(Clips):
        def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
            item = super().__getitem__(index)
            if index[0] == 1:
                item["clip"][:] = float("nan")
            return item

    object.__setattr__(data, "train", Broken(10))
    with pytest.raises(
        TrainingError, match=r"the loss is nan in epoch 2, batch 1, step 3; lower optimiser.learning_rate"
    ):
        fit(settings(), data, tmp_path / "run")


def test_a_model_that_has_gone_wrong_is_named_with_epoch_and_step_at_its_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step before a validation made it so: no loss was computed since."""
    monkeypatch.setattr(fitting, "score", lambda *_: np.full((4 * T, 3), np.nan, np.float32))
    with pytest.raises(TrainingError, match=r"validation frame is not finite after epoch 1, step 3; lower optimiser"):
        fit(settings("trainer.validate_every=1"), fold_data(), tmp_path / "run")
    assert not list((tmp_path / "run").glob("epoch_*")) and not (tmp_path / "run" / "last.ckpt").exists()


def test_a_run_says_f1_of_each_au_and_what_is_left(tmp_path: Path) -> None:
    lines: list[str] = []
    fit(settings(), fold_data(), tmp_path / "run", lines.append)
    assert re.fullmatch(r"epoch 1 of 3: about 0:0\d:\d\d to go", lines[0])
    assert re.fullmatch(r"epoch 2 of 3, step 6: validation F1 [\d.]+; about 0:0\d:\d\d to go", lines[1])
    assert lines[2].split() == ["AU01", "AU04", "AU12"] and len(lines[3].split()) == 3
    assert "epoch 3 of 3, step 9" in lines[4] and "the best before was" in lines[4] and len(lines) == 7
    logged = pd.read_csv(tmp_path / "run" / "logs" / "start_0" / "metrics.csv")
    losses, judged = logged[logged.loss.notna()], logged[logged["validation/f1"].notna()]
    assert losses.epoch.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3] and judged.epoch.tolist() == [2, 3]
    assert losses.learning_rate.is_monotonic_decreasing and losses.learning_rate.iloc[0] == pytest.approx(1e-3)
    saved = Predictions.load(tmp_path / "run" / "epoch_0003.npz")
    wanted = count(saved.scores >= 0.5, saved.frames.labels).f1
    assert judged.iloc[-1][[f"validation/f1_{code}" for code in LABELS.codes]].tolist() == pytest.approx(wanted)


@pytest.mark.slow
def test_what_the_inner_run_validated_can_be_chosen(tmp_path: Path) -> None:
    """One of a single epoch, extended to three before the run on the whole training half began."""
    (tmp_path / "held_out").mkdir()
    (tmp_path / "held_out" / "epoch_0001.npz").touch()
    fit(settings("optimiser.freeze=[encoder]"), fold_data(), tmp_path)
    assert sorted(epochs_of(tmp_path)) == [1, 2, 3] and (tmp_path / "epoch_0001.safetensors").is_file()
    assert best_so_far(tmp_path, 0) == (-1.0, 0) and best_so_far(tmp_path, 1)[1] == 1  # 2 and 3 will come again


@pytest.mark.slow
def test_a_run_without_progress_stops_and_stays_so(tmp_path: Path) -> None:
    """Every validation is as good as the first: with a patience of two the third is the last."""
    chosen, lines = settings("trainer.epochs=6", "trainer.validate_every=1", "optimiser.freeze=[encoder]"), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "score", lambda *_: np.full((4 * T, 3), 0.9, np.float32))
        fit(chosen, fold_data(), tmp_path, lines.append, patience=2)
    assert stopped_after(tmp_path) == 3 and sorted(epochs_of(tmp_path)) == [1, 2, 3]
    assert "stopped after epoch 3 of 6: no better F1 in 2 validations (trainer.patience)" in lines
    before = (tmp_path / "last.ckpt").read_bytes()
    fit(chosen, fold_data(), tmp_path, patience=2)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_frozen_parts_stay_as_they_are(tmp_path: Path) -> None:
    words = ("optimiser.freeze=[encoder.backbone]", "trainer.epochs=1", "trainer.activation_checkpointing=true")
    fit(settings(*words), fold_data(), tmp_path / "run")
    torch.manual_seed(0)
    before = starting_model(settings(*words), fold_data().label_set).state_dict()
    after = load_file(tmp_path / "run" / "epoch_0001.safetensors")
    same = {key for key in before if torch.equal(before[key], after[key])}
    assert {key for key in before if key.startswith("encoder.backbone")} <= same
    assert not {key for key in before if key.startswith("head.score")} & same


def test_a_model_goes_on_at_another_input_size_but_not_as_another_architecture(tmp_path: Path) -> None:
    earlier = starting_model(settings(), LABELS)
    save_model(earlier, tmp_path / "earlier")
    start = f"start.folder={tmp_path / 'earlier'}"
    larger = starting_model(settings(start, "model.input_size_px=96"), LABELS)
    assert larger.config.input_size_px == 96
    for name, values in earlier.state_dict().items():
        torch.testing.assert_close(larger.state_dict()[name], values, rtol=0, atol=0)
    with pytest.raises(ConfigError, match="but the settings describe"):
        starting_model(settings(start, "model.au_width=32"), LABELS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optimiser.freeze=[encoder.backbon]",), "no parameter's name starts with 'encoder.backbon'; did you mean"),
        (("optimiser.freeze=[encoder, head]",), "leaves nothing to train"),
        (("trainer.accelerator=gpu",), "trainer"),
    ],
)
def test_refuses_what_cannot_run(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    if "gpu" in words[0] and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match=message):
        fit(settings(*words), fold_data(), tmp_path / "run")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.ckpt").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"last\.ckpt' cannot be read"):
        fit(settings(), fold_data(), folder)


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["null", "1.0"])
def test_a_gradient_that_is_not_finite_spoils_no_checkpoint(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last batch before a checkpoint, with a finite loss; a run that goes on finds weights that are numbers."""
    words, steps = settings("trainer.epochs=2", f"optimiser.clip_norm={clip}"), itertools.count()

    class Spoiling(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, scores: torch.Tensor) -> torch.Tensor:
            ctx.factor = torch.inf if next(steps) == 5 else 1.0  # three batches an epoch: the last of the second
            return scores.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * ctx.factor

    with monkeypatch.context() as patch:
        loss = module.asymmetric_loss
        patch.setattr(module, "asymmetric_loss", lambda scores, *rest: loss(Spoiling.apply(scores), *rest))
        with pytest.raises(TrainingError, match=r"a gradient is not finite in epoch 2, batch 3, step 5; lower"):
            fit(words, fold_data(), tmp_path)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert all(torch.isfinite(x).all() for x in saved["state_dict"].values() if x.is_floating_point())
    fit(words, fold_data(), tmp_path)
    assert (tmp_path / "epoch_0002.npz").is_file()
