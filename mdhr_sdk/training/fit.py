"""A training run on disk: checkpoints to go on from, and for every validated epoch its weights and its predictions.

FOLDER/last.ckpt                 everything needed to go on
FOLDER/epoch_0025.npz            predictions on the validation frames after 25 epochs
FOLDER/epoch_0025.safetensors    the weights that made them
FOLDER/logs/                     CSV and TensorBoard
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from ..aus import LabelSet
from ..errors import ConfigError, TrainingError
from ..folder import ModelFolder
from ..model import MDHR, load_model
from .metrics import count
from .module import MDHRTraining
from .order import BlockBatches, ClipSource, KeyedClips, Plan
from .predictions import Frames, Predictions, writing_whole
from .settings import Settings

CHECKPOINT = "last.ckpt"


@dataclass(frozen=True)
class FoldData:
    """What one run trains and is validated on.

    Attributes:
        train, validation: clips; `validation`'s rows are those of `frames`.
        frames: the validation frames.
        weights: (N,) w_n of eq. 10, from the training labels.
    """

    label_set: LabelSet
    train: ClipSource
    validation: ClipSource
    frames: Frames
    weights: NDArray[np.float64]


def fit(settings: Settings, data: FoldData, folder: Path) -> None:
    """Train from the start, or from `folder`'s last checkpoint if it has one, to the last epoch.

    Under torchrun every process calls this; files are written by the first. Ctrl-C and SIGTERM are KeyboardInterrupt.

    Raises:
        TrainingError: the loss is no longer a number, or the checkpoint is another run's.
        ConfigError: settings that do not fit the model or the machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = settings.trainer
    torch.manual_seed(chosen.seed)
    checkpoint = folder / CHECKPOINT
    model = starting_model(settings, data.label_set, resumed=checkpoint.is_file())
    plan = Plan(
        len(data.train), chosen.batch_size, chosen.epochs, chosen.seed, chosen.devices, chosen.checkpoint_batches
    )
    module = MDHRTraining(model, settings, data.weights.tolist(), plan)
    trainer = _trainer(settings, plan, folder, Keeper(settings, data, folder))
    batches = BlockBatches(plan, trainer.global_rank)
    workers = settings.data.workers
    loader: Any = DataLoader(
        KeyedClips(data.train),
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    if checkpoint.is_file():
        batches.set_epoch(_blocks_done(checkpoint, plan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about lengths, workers and frozen layers that are as they should be
        path = str(checkpoint) if checkpoint.is_file() else None
        try:
            trainer.fit(module, loader, ckpt_path=path, weights_only=True)
        except SystemExit:  # how Lightning ends on Ctrl-C and SIGTERM
            raise KeyboardInterrupt from None
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the GPU's memory is too small ({str(error).splitlines()[0]}); take preset: small-gpu, a smaller "
                "trainer.batch_size with optimiser.accumulate, or optimiser.freeze=[encoder.backbone]"
            ) from None


def starting_model(settings: Settings, label_set: LabelSet, resumed: bool = False) -> MDHR:
    """The model before its first step; any weights do for a resumed run, whose checkpoint brings its own.

    Raises:
        ConfigError: `start.folder` holds another architecture than the settings describe.
    """
    config = settings.model_config(label_set)
    if settings.start.folder is None or resumed:
        return MDHR(config, settings.start.pretrained and not resumed)
    model = load_model(ModelFolder.open(settings.start.folder))
    fresh = MDHR(config).config
    if model.config != fresh:
        raise ConfigError(
            f"'{settings.start.folder}' holds {model.config}, but the settings describe {fresh}; "
            "make `model` and `data.dataset` the same, or start without start.folder"
        )
    return model.train()


class Keeper(pl.Callback):
    """At the end of each block: predictions and weights if an epoch is due for validation, then a checkpoint."""

    def __init__(self, settings: Settings, data: FoldData, folder: Path) -> None:
        self.settings, self.data, self.folder = settings, data, folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        block = module.plan.blocks[trainer.current_epoch]
        if block.last == module.plan.batches and is_validated(self.settings, block.epoch + 1):
            self._validate(trainer, module, block.epoch + 1)
        building = self.folder / f".{CHECKPOINT}.part"
        trainer.save_checkpoint(building, weights_only=False)  # with the optimiser's state
        if trainer.is_global_zero:
            building.replace(self.folder / CHECKPOINT)
        trainer.strategy.barrier("checkpoint")

    def _validate(self, trainer: pl.Trainer, module: MDHRTraining, epochs: int) -> None:
        autocast = trainer.precision_plugin.forward_context()
        module.eval()
        scores = score(module.judged, self.data, self.settings, module.device, trainer.global_rank, autocast)
        module.train()
        predictions = Predictions(self.data.frames, scores)
        figure = count(scores >= 0.5, self.data.frames.labels).f1_macro
        for logger in trainer.loggers:
            logger.log_metrics({"validation/f1": figure, "epoch": epochs}, trainer.global_step)
        if trainer.is_global_zero:
            stem = epoch_stem(self.folder, epochs)
            with writing_whole(stem.with_suffix(".safetensors")) as path:
                save_file({key: x.detach().cpu().contiguous() for key, x in module.judged.state_dict().items()}, path)
            predictions.save(stem.with_suffix(".npz"))


def score(
    model: MDHR, data: FoldData, settings: Settings, device: torch.device, rank: int = 0, autocast: Any = None
) -> NDArray[np.float32]:
    """Scores (n, N) of all validation frames, in list order; the clips are shared between the processes.

    Raises:
        TrainingError: a frame was scored by no clip, or by more than one.
    """
    processes = settings.trainer.devices
    size = max(1, settings.trainer.batch_size // processes)
    mine = range(rank, len(data.validation), processes)
    keys = [[(0, index) for index in mine[first : first + size]] for first in range(0, len(mine), size)]
    loader: Any = DataLoader(KeyedClips(data.validation), batch_sampler=keys, num_workers=settings.data.workers)
    rows, aus = data.frames.labels.shape
    filled = torch.zeros(rows, aus + 1, device=device)  # the last column counts
    with torch.no_grad(), autocast or contextlib.nullcontext():
        for batch in loader:
            scores = model(batch["clip"].to(device)).scores.float()
            frame = batch["rows"].to(device)
            known = frame >= 0
            filled.index_add_(0, frame[known], torch.nn.functional.pad(scores[known], (0, 1), value=1.0))
    if processes > 1:
        torch.distributed.all_reduce(filled)
    result: NDArray[np.float32] = filled.cpu().numpy()
    if wrong := np.flatnonzero(result[:, -1] != 1).tolist():
        raise TrainingError(f"{len(wrong)} frames, the first in row {wrong[0]}, were not scored once; check the lists")
    return result[:, :-1]


def is_validated(settings: Settings, epochs: int) -> bool:
    """Whether the model is validated after so many epochs."""
    return epochs % settings.trainer.validate_every == 0 or epochs == settings.trainer.epochs


def epoch_stem(folder: Path, epochs: int) -> Path:
    """Path, without suffix, of what is written after so many epochs."""
    return folder / f"epoch_{epochs:04d}"


def _trainer(settings: Settings, plan: Plan, folder: Path, keeper: pl.Callback) -> pl.Trainer:
    chosen, optimiser = settings.trainer, settings.optimiser
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # tips and advertisements
    starts = len(list((folder / "logs").glob("start_*")))
    version = f"start_{starts}"  # a log of its own for every start: a killed one's is not touched
    try:
        return pl.Trainer(
            accelerator=chosen.accelerator,
            devices=chosen.devices,
            strategy="ddp" if chosen.devices > 1 else "auto",
            precision=chosen.precision,
            max_epochs=len(plan.blocks),
            accumulate_grad_batches=optimiser.accumulate,
            gradient_clip_val=optimiser.clip_norm,
            sync_batchnorm=chosen.devices > 1 and chosen.sync_norms and chosen.accelerator != "cpu",
            deterministic=chosen.deterministic,
            log_every_n_steps=chosen.log_every,
            logger=[CSVLogger(folder, "logs", version), TensorBoardLogger(folder, "logs", version)],
            callbacks=[keeper, *([RichProgressBar()] if chosen.progress else [])],
            enable_progress_bar=chosen.progress,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, RuntimeError, ValueError) as error:
        raise ConfigError(f"trainer: {error}") from None


def _blocks_done(checkpoint: Path, plan: Plan) -> int:
    """How many blocks a checkpoint has behind it.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        progress = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["loops"]["fit_loop"]
        done: int = progress["epoch_progress"]["current"]["processed"]
    except Exception as error:
        raise TrainingError(f"'{checkpoint}' cannot be read ({error}); remove it to start again") from None
    return min(done, len(plan.blocks) - 1)
