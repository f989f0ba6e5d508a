"""What is asked of a machine is done or refused; norms over devices are the model's own norms still."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.accelerators import CPUAccelerator, CUDAAccelerator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mdhr_sdk.errors import ConfigError, DataError, TrainingError
from mdhr_sdk.model import build_mdhr
from mdhr_sdk.training.fit.fit import fit, score
from mdhr_sdk.training.fit.launch import check_processes, plain_errors, synchronised
from mdhr_sdk.training.fit.module import MDHRTraining
from mdhr_sdk.training.fit.order import Plan
from patterns import Clips, fold_data, settings

CUDA: Any = types.SimpleNamespace(accelerator=CUDAAccelerator())
CPU: Any = types.SimpleNamespace(accelerator=CPUAccelerator())


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv4_conv_small"])
def test_synchronised_norms_are_found_frozen_and_answer_as_before(backbone: str) -> None:
    model = build_mdhr("disfa", backbone, input_size_px=64, projection_width=16, au_width=16).eval()
    clip = torch.randn(1, 4, 3, 64, 64)
    chosen = settings("trainer.devices=2", "optimiser.freeze_norms=true", "trainer.activation_checkpointing=true")
    with torch.no_grad():
        before, keys = model(clip).scores, list(model.state_dict())
        model = synchronised(model, chosen, CUDA)
        assert list(model.state_dict()) == keys
        torch.testing.assert_close(model(clip).scores, before)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    assert norms and all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    module = MDHRTraining(model, chosen, [1.0] * 8, Plan(4, 4, 1, 0, 2))
    assert {id(norm) for norm in norms} == {id(still) for still in module.still}
    assert model.training and not any(norm.training for norm in norms)


@pytest.mark.parametrize(
    ("words", "trainer"),
    [
        (("trainer.devices=2", "trainer.accelerator=auto"), CPU),
        (("trainer.devices=2", "trainer.sync_norms=false"), CUDA),
        ((), CUDA),
    ],
)
def test_norms_stay_as_they_are_where_they_cannot_or_need_not_be_synchronised(
    words: tuple[str, ...], trainer: Any
) -> None:
    model = nn.Sequential(nn.BatchNorm2d(2))
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in synchronised(model, settings(*words), trainer).modules())


def test_another_number_of_processes_than_the_settings_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_processes(settings("trainer.devices=2"))
    with pytest.raises(ConfigError, match=r"2 processes were started .* trainer.devices is 1.*set trainer.devices=2"):
        fit(settings(), fold_data(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_half_precision_on_the_cpu_is_refused_and_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"16-mixed needs a GPU.*take bf16-mixed or 32-true"):
        fit(settings("trainer.precision=16-mixed"), fold_data(), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("optimiser.ema=0.9",), ("model.au_width=8",), ("optimiser.rates={head: 0.1}",)])
def test_a_checkpoint_of_other_settings_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    fit(settings("trainer.epochs=1"), fold_data(), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"last\.ckpt' is of another model or optimiser than the settings"):
        fit(settings("trainer.epochs=2", *words), fold_data(), tmp_path / "run")


class Unreadable(Clips):
    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        raise DataError("no picture a.jpg; prepare the data again")


@pytest.mark.slow
def test_an_error_in_a_loaders_process_is_one_line(tmp_path: Path) -> None:
    chosen, data = settings("data.workers=1"), fold_data()
    object.__setattr__(data, "train", Unreadable(10))
    with pytest.raises(DataError) as error:
        fit(chosen, data, tmp_path / "run")
    assert str(error.value) == "no picture a.jpg; prepare the data again"
    object.__setattr__(data, "validation", Unreadable(4))
    model = build_mdhr("disfa", "resnet18", input_size_px=64, projection_width=16, au_width=16)
    with pytest.raises(DataError) as error:
        score(model, data, chosen, torch.device("cpu"))
    assert str(error.value) == "no picture a.jpg; prepare the data again"


def test_a_dead_loader_is_one_line_with_the_remedy() -> None:
    with (
        pytest.raises(
            TrainingError, match=r"\(DataLoader worker \(pid 7\) .*\); shared memory may be too small .*workers"
        ),
        plain_errors(),
    ):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error.\nmore")
    with pytest.raises(RuntimeError, match="else"), plain_errors():
        raise RuntimeError("something else")
