"""A training run on disk: checkpoints to go on from, and for every validated epoch its weights and its predictions.

FOLDER/last.ckpt                 everything needed to resume
FOLDER/epoch_0025.npz            predictions on the validation frames after 25 epochs
FOLDER/epoch_0025.safetensors    the weights that made them
FOLDER/logs/                     CSV and TensorBoard
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from ...atomic import whole
from ...aus import LabelSet
from ...errors import CheckpointError, ConfigError, TrainingError, number_of
from ...model import MDHR, load_model
from ...modelfolder.folder import ModelFolder
from ..evaluate.metrics import count
from ..evaluate.predictions import Frames, Predictions
from .launch import check_processes, make_trainer, plain_errors, synchronised
from .module import MDHRTraining
from .order import BlockBatches, ClipSource, Plan
from .settings import Settings

CHECKPOINT = "last.ckpt"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a model is judged on.

    Attributes:
        validation: clips, whose rows are those of `frames`.
        frames: the validation frames.
        prepare: from clips as the source gives them, on the device, to the model's input.
    """

    label_set: LabelSet
    validation: ClipSource
    frames: Frames
    prepare: Callable[[Tensor], Tensor] = lambda clip: clip


@dataclass(frozen=True, kw_only=True)
class FoldData(Tested):
    """What one run trains and is validated on; both kinds of clips are prepared alike.

    Attributes:
        train: clips.
        weights: (N,) w_n of eq. 10, from the training labels.
        trained_on: the training frames, held-out subjects left out; None for clips that are no frames of a list.
    """

    train: ClipSource
    weights: NDArray[np.float64]
    trained_on: Frames | None = None


def fit(settings: Settings, data: FoldData, folder: Path) -> None:
    """Train from the start, or from `folder`'s last checkpoint if it has one, to the last epoch.

    Under torchrun every process calls this; files are written by the first. Ctrl-C and SIGTERM are KeyboardInterrupt.

    Raises:
        TrainingError: the loss is no longer a number, or the checkpoint is another run's.
        ConfigError: settings that do not fit the model, the machine or the number of processes.
        DataError: a picture cannot be read.
    """
    check_processes(settings)
    folder.mkdir(parents=True, exist_ok=True)
    chosen, checkpoint = settings.trainer, folder / CHECKPOINT
    resumed = checkpoint.is_file()
    plan = Plan(
        len(data.train), chosen.batch_size, chosen.epochs, chosen.seed, chosen.devices, chosen.checkpoint_batches
    )
    trainer = make_trainer(settings, plan, folder, Keeper(settings, data, folder))
    torch.manual_seed(chosen.seed)
    model = synchronised(starting_model(settings, data.label_set, resumed), settings, trainer)
    model = model.to(memory_format=cast(Any, torch.channels_last))  # convolutions of small networks: 1.4 times as fast
    module = MDHRTraining(model, settings, data.weights.tolist(), plan, data.prepare)
    batches = BlockBatches(plan, trainer.global_rank)
    workers = settings.data.workers
    loader: Any = DataLoader(
        cast(Any, data.train),
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    if resumed:
        batches.set_epoch(_blocks_done(checkpoint, module))
    with warnings.catch_warnings(), plain_errors():
        warnings.simplefilter("ignore")  # about lengths, workers and frozen layers that are as they should be
        trainer.fit(module, loader, ckpt_path=str(checkpoint) if resumed else None, weights_only=True)


def starting_model(settings: Settings, label_set: LabelSet, resumed: bool = False) -> MDHR:
    """The model before its first step; a resumed run takes its weights from the checkpoint instead.

    Raises:
        ConfigError: `start.folder` holds another architecture than the settings describe; the input size may differ
            where no weight depends on it.
        CheckpointError: the pretrained weights cannot be fetched.
    """
    config = settings.model_config(label_set)
    if settings.start.folder is None or resumed:
        try:
            return MDHR(config, settings.start.pretrained and not resumed)
        except CheckpointError as error:
            raise CheckpointError(f"{error}: start.pretrained=false, or start.folder=MODEL") from None
    earlier, model = load_model(ModelFolder.open(settings.start.folder)), MDHR(config)
    same = dataclasses.replace(earlier.config, input_size_px=config.input_size_px) == model.config
    if same:
        try:
            model.load_state_dict(earlier.state_dict())
        except RuntimeError:  # weights that depend on the input size, as a Swin's
            same = False
    if not same:
        raise ConfigError(
            f"'{settings.start.folder}' holds {earlier.config}, but the settings describe {model.config}; "
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
        epochs, chosen = block.epoch + 1, self.settings.trainer
        due = epochs % chosen.validate_every == 0 or epochs == chosen.epochs
        if due and block.last == module.plan.batches:
            self._validate(trainer, module, epochs)
        path = self.folder / CHECKPOINT  # written by the first process alone
        with whole(path, settled=True) if trainer.is_global_zero else contextlib.nullcontext(path) as part:
            trainer.save_checkpoint(part, weights_only=False)  # with the optimiser's state
        trainer.strategy.barrier("checkpoint")

    def _validate(self, trainer: pl.Trainer, module: MDHRTraining, epochs: int) -> None:
        module.eval()
        if trainer.world_size > 1:  # norms that are not synchronised have seen other clips in every process
            for buffer in module.judged.buffers():
                torch.distributed.broadcast(buffer, 0)
        scores = score(module.judged, self.data, self.settings, module.device, trainer.global_rank)
        module.train()
        predictions = Predictions(self.data.frames, scores)
        figure = count(scores >= 0.5, self.data.frames.labels).f1_macro
        for logger in trainer.loggers:
            logger.log_metrics({"validation/f1": figure, "epoch": epochs}, trainer.global_step)
        if trainer.is_global_zero:
            stem = epoch_stem(self.folder, epochs)
            with whole(stem.with_suffix(".safetensors"), settled=True) as path:
                save_file({key: x.detach().cpu().contiguous() for key, x in module.judged.state_dict().items()}, path)
            predictions.save(stem.with_suffix(".npz"))


def score(model: MDHR, data: Tested, settings: Settings, device: torch.device, rank: int = 0) -> NDArray[np.float32]:
    """Scores (n, N) of all validation frames, in list order; the clips are shared between the processes.

    In 32 bits, whatever the training's precision: what is judged is the model as it is saved.

    Raises:
        TrainingError: a frame was scored by no clip, or by more than one.
        DataError: a picture cannot be read.
    """
    processes = settings.trainer.devices
    size = max(1, settings.trainer.batch_size // processes)
    mine = range(rank, len(data.validation), processes)
    keys = [[(0, index) for index in mine[first : first + size]] for first in range(0, len(mine), size)]
    loader: Any = DataLoader(cast(Any, data.validation), batch_sampler=keys, num_workers=settings.data.workers)
    rows, aus = data.frames.labels.shape
    filled = torch.zeros(rows, aus + 1, device=device)  # the last column counts
    with torch.no_grad(), plain_errors():
        for batch in loader:
            scores = model(data.prepare(batch["clip"].to(device))).scores.float()
            frame = batch["rows"].to(device)
            known = frame >= 0
            filled.index_add_(0, frame[known], torch.nn.functional.pad(scores[known], (0, 1), value=1.0))
    if processes > 1:
        torch.distributed.all_reduce(filled)
    result: NDArray[np.float32] = filled.cpu().numpy()
    if wrong := np.flatnonzero(result[:, -1] != 1).tolist():
        frames = number_of(len(wrong), "frame was", "frames were")
        raise TrainingError(f"{frames} not scored once, the first in row {wrong[0]}; check the lists")
    return result[:, :-1]


def epoch_stem(folder: Path, epochs: int) -> Path:
    """Path, without suffix, of what is written after so many epochs."""
    return folder / f"epoch_{epochs:04d}"


def _blocks_done(checkpoint: Path, module: MDHRTraining) -> int:
    """How many blocks a checkpoint has behind it."""
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        done: int = saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        weights = {key: tensor.shape for key, tensor in saved["state_dict"].items()}
        groups = [len(group["params"]) for group in saved["optimizer_states"][0]["param_groups"]]
    except Exception as error:
        raise TrainingError(f"'{checkpoint}' cannot be read ({error}); remove it to start again") from None
    needed = {key: tensor.shape for key, tensor in module.state_dict().items()}
    optimiser = module.configure_optimizers()["optimizer"]
    if weights != needed or groups != [len(group["params"]) for group in optimiser.param_groups]:
        raise TrainingError(f"'{checkpoint}' is of another model or optimiser than the settings; start a new run")
    return min(done, len(module.plan.blocks) - 1)
