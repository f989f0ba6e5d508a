"""Lightning's trainer as the settings ask for it, or an error in one line."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator, CUDAAccelerator
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from timm.layers import convert_sync_batchnorm

from ...errors import ConfigError, MDHRError, TrainingError, require
from ...model import MDHR
from .order import Plan
from .settings import Settings
from .telling import Progress


def check_processes(settings: Settings) -> None:
    """Refuse a number of processes other than the settings', as torchrun may have started."""
    started, devices = os.environ.get("WORLD_SIZE", ""), settings.trainer.devices
    if started and started != str(devices):
        raise ConfigError(
            f"{started} processes were started (WORLD_SIZE), but trainer.devices is {devices}: each would train alone "
            f"and write the same files; set trainer.devices={started}, or start {devices}"
        )


def make_trainer(settings: Settings, plan: Plan, folder: Path, keeper: pl.Callback, progress: Progress) -> pl.Trainer:
    """The trainer, or a ConfigError if this machine lacks what the settings ask for; it writes nothing yet."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU")  # but replaced
        trainer = _trainer(settings, plan, folder, keeper, progress)
    if settings.trainer.precision == "16-mixed" and isinstance(trainer.accelerator, CPUAccelerator):
        raise ConfigError(
            "trainer.precision 16-mixed needs a GPU, and this run is on the CPU; take bf16-mixed or 32-true"
        )
    return trainer


def _trainer(settings: Settings, plan: Plan, folder: Path, keeper: pl.Callback, progress: Progress) -> pl.Trainer:
    chosen, optimiser = settings.trainer, settings.optimiser
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # tips and advertisements
    starts = len(list((folder / "logs").glob("start_*")))
    version = f"start_{starts}"  # a log of its own for every start: a killed one's is not touched
    loggers: list[Any] = [CSVLogger(folder, "logs", version), TensorBoardLogger(folder, "logs", version)]
    if chosen.wandb is not None:
        loggers.append(_wandb(chosen.wandb, folder, version))
    try:
        return pl.Trainer(
            accelerator=chosen.accelerator,
            devices=chosen.devices,
            strategy="ddp" if chosen.devices > 1 else "auto",
            precision=cast(Any, chosen.precision),
            max_epochs=sum(block.epoch < progress.epochs for block in plan.blocks),
            accumulate_grad_batches=optimiser.accumulate,
            gradient_clip_val=optimiser.clip_norm,
            deterministic=chosen.deterministic,
            log_every_n_steps=chosen.log_every,
            logger=loggers,
            callbacks=[keeper, *([Bar(plan, progress)] if chosen.progress else [])],
            enable_progress_bar=chosen.progress,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, RuntimeError, ValueError) as error:
        raise ConfigError(f"trainer: {error}") from None


def _wandb(project: str, folder: Path, version: str) -> Any:
    """Weights & Biases; a start is a run of its own there, too."""
    require("wandb", "wandb")
    from pytorch_lightning.loggers import WandbLogger

    name = "-".join((*folder.absolute().parts[-2:], version))
    return WandbLogger(name, folder, project=project)


class Bar(RichProgressBar):
    """Lightning's, in epochs of the run and with the time left, without the number of its log."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        super().__init__()
        self._plan, self._told = plan, progress

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Any:
        shown = {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}
        place = self._plan.blocks[min(trainer.current_epoch, len(self._plan.blocks) - 1)]
        left = self._told.left(place.epoch + place.first / self._plan.batches)
        return {**shown, "left": left} if left else shown

    def _get_train_description(self, current_epoch: int) -> str:
        """Of a block, which is what Lightning takes for an epoch."""
        block = self._plan.blocks[min(current_epoch, len(self._plan.blocks) - 1)]
        return f"epoch {block.epoch + 1} of {self._told.epochs}"


def synchronised(model: MDHR, settings: Settings, trainer: pl.Trainer) -> MDHR:
    """The model with BatchNorm over all devices, where that is asked for and possible: on CUDA.

    Lightning would do it after frozen and checkpointed norms were looked for, and drops the activation that timm's
    norms end with.
    """
    chosen = settings.trainer
    if chosen.devices == 1 or not chosen.sync_norms or not isinstance(trainer.accelerator, CUDAAccelerator):
        return model
    synced: MDHR = convert_sync_batchnorm(model)
    return synced


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors of PyTorch and Lightning into this package's one-line errors.

    Raises:
        KeyboardInterrupt: Lightning's way to end on Ctrl-C and SIGTERM.
        TrainingError: the GPU's memory is too small, or a loader's process has died.
        MDHRError: one from a loader's process, without the text of that process's traceback.
    """
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the GPU's memory is too small ({str(error).splitlines()[0]}); take preset: small-gpu, a smaller "
            "trainer.batch_size with optimiser.accumulate, or optimiser.freeze=[encoder.backbone]"
        ) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a process that loads clips has ended ({str(error).splitlines()[0]}); shared memory may be too small "
            "(in Docker: --shm-size=2g) or memory: take fewer data.workers, 0 for none, or a smaller "
            "trainer.batch_size; go on with --resume"
        ) from None
    except MDHRError as error:
        before, wrapped, message = str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")
        if not wrapped or not before.startswith("Caught "):
            raise
        raise type(error)(message.removesuffix("\\n")) from None  # MDHRError writes line ends as \n
