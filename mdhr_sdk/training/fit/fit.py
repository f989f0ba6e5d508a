"""A training run on disk: checkpoints to go on from, and for every validated epoch its weights and its predictions.

FOLDER/last.ckpt                 everything needed to resume
FOLDER/epoch_0025.npz            predictions on the validation frames after 25 epochs
FOLDER/epoch_0025.safetensors    the weights that made them
FOLDER/stopped.json              where `trainer.patience` ended it early
FOLDER/logs/                     CSV and TensorBoard
"""

from __future__ import annotations

import contextlib
import tempfile
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
from ...errors import ConfigError, TrainingError, number_of
from ...model import MDHR
from ...model.released import check_archive
from ..data.subjects import by_set
from ..evaluate.evaluation import HELD_OUT, stopped_after
from ..evaluate.metrics import count, mean
from ..evaluate.predictions import Frames, Predictions
from .launch import check_processes, make_trainer, plain_errors, synchronised
from .module import MDHRTraining
from .order import BlockBatches, ClipSource, Plan
from .settings import Settings
from .stopping import best_so_far, is_stale, note_stop
from .telling import Progress, Tell, silent
from .weights.starting import starting_model

CHECKPOINT = "last.ckpt"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a model is judged on.

    Attributes:
        validation: clips, whose rows are those of `frames`.
        frames: the validation frames.
        prepare: from clips as the source gives them, on the device, to the model's input.
        sets: names of the data sets, where there are several.
    """

    label_set: LabelSet
    validation: ClipSource
    frames: Frames
    prepare: Callable[[Tensor], Tensor] = lambda clip: clip
    sets: tuple[str, ...] = ()

    @property
    def judged_on(self) -> dict[str, set[str]]:
        """The subjects of the validation frames, by data set."""
        return by_set(self.frames.subjects, self.label_set.name, self.sets)


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

    @property
    def learnt_from(self) -> dict[str, set[str]]:
        """The subjects of the training frames, by data set."""
        known = () if self.trained_on is None else self.trained_on.subjects
        return by_set(known, self.label_set.name, self.sets)


def fit(
    settings: Settings,
    data: FoldData,
    folder: Path,
    tell: Tell = silent,
    patience: int | None = None,
    until: int | None = None,
) -> None:
    """Train from the start, or from `folder`'s last checkpoint if it has one, to the last epoch.

    Under torchrun every process calls this; files are written by the first. Ctrl-C and SIGTERM are KeyboardInterrupt.

    Args:
        tell: takes lines about validations and the time left.
        patience: validations without a better F1 after which to stop; None for never.
        until: epochs to train, if not all; the learning rate falls as if all were.

    Raises:
        TrainingError: the loss is no longer a number, or the checkpoint is another run's.
        ConfigError: settings that do not fit the model, the machine or the number of processes.
        DataError: a picture cannot be read.
    """
    check_processes(settings)
    folder.mkdir(parents=True, exist_ok=True)
    chosen, checkpoint = settings.trainer, folder / CHECKPOINT
    resumed = checkpoint.is_file()
    if stopped_after(folder) is not None:
        return
    plan = plan_of(settings, data)
    progress = Progress(until or chosen.epochs, data.label_set.codes, tell)
    keeper = Keeper(settings, data, folder, progress, patience)
    trainer = make_trainer(settings, plan, folder, keeper, progress)
    torch.manual_seed(chosen.seed)
    model = synchronised(starting_model(settings, data.label_set, resumed), settings, trainer)
    model = model.to(memory_format=cast(Any, torch.channels_last))  # convolutions of small networks: 1.4 times as fast
    module = MDHRTraining(model, settings, class_weights(settings, data), plan, data.prepare)
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


def check_fit(settings: Settings, data: FoldData) -> None:
    """Refuse now what `fit` would refuse, on this machine and of this model; nothing is written.

    Raises:
        ConfigError, CheckpointError, MissingDependencyError: as `fit`.
    """
    check_processes(settings)
    plan, progress = plan_of(settings, data), Progress(settings.trainer.epochs, data.label_set.codes, silent)
    with tempfile.TemporaryDirectory() as folder:
        make_trainer(settings, plan, Path(folder), Keeper(settings, data, Path(folder), progress, None), progress)
    model = starting_model(settings, data.label_set)
    MDHRTraining(model, settings, class_weights(settings, data), plan).configure_optimizers()


def plan_of(settings: Settings, data: FoldData) -> Plan:
    """All batches of a run."""
    chosen = settings.trainer
    videos = len(data.train)
    return Plan(videos, chosen.batch_size, chosen.epochs, chosen.seed, chosen.devices, chosen.checkpoint_batches)


def class_weights(settings: Settings, data: FoldData) -> list[float]:
    """One an AU: the paper's, 1 for all, or the paper's times what the settings say.

    Raises:
        ConfigError: a weight for an AU that the data set has not.
    """
    chosen, codes = settings.loss.class_weights, data.label_set.codes
    if chosen == "paper":
        return [float(weight) for weight in data.weights]
    if chosen == "none":
        return [1.0] * len(codes)
    if unknown := [code for code in chosen if code not in codes]:
        raise ConfigError(f"loss.class_weights: {', '.join(unknown)} not in the data, which has {', '.join(codes)}")
    return [chosen.get(code, 1.0) * float(weight) for code, weight in zip(codes, data.weights, strict=True)]


class Keeper(pl.Callback):
    """At the end of each block: predictions and weights if an epoch is due for validation, then a checkpoint."""

    def __init__(
        self, settings: Settings, data: FoldData, folder: Path, progress: Progress, patience: int | None
    ) -> None:
        self.settings, self.data, self.folder = settings, data, folder
        self.progress, self.patience = progress, patience

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        epoch, first, _ = module.plan.blocks[min(trainer.current_epoch, len(module.plan.blocks) - 1)]
        self.progress.begin(epoch + first / module.plan.batches, best_so_far(self.folder, epoch))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        block = module.plan.blocks[trainer.current_epoch]
        epochs, chosen = block.epoch + 1, self.settings.trainer
        regular = epochs % chosen.validate_every == 0 or epochs == self.progress.epochs
        # The inner run may choose any of its epochs, and one that was extended has a last one from before.
        due = regular or epoch_stem(self.folder / HELD_OUT, epochs).with_suffix(".npz").is_file()
        if block.last == module.plan.batches:
            if due:
                self._validate(trainer, module, epochs)
                self._stop_if_stale(trainer, epochs)
            self.progress.epoch(epochs)
        path = self.folder / CHECKPOINT  # written by the first process alone
        with whole(path, settled=True) if trainer.is_global_zero else contextlib.nullcontext(path) as part:
            trainer.save_checkpoint(part, weights_only=False)  # with the optimiser's state
        trainer.strategy.barrier("checkpoint")

    def _stop_if_stale(self, trainer: pl.Trainer, epochs: int) -> None:
        """Noted before the checkpoint: a run killed between the two is over all the same."""
        if self.patience is None or epochs == self.progress.epochs:
            return
        stale = trainer.strategy.broadcast(trainer.is_global_zero and is_stale(self.folder, self.patience))
        if stale:
            trainer.should_stop = True
            if trainer.is_global_zero:
                note_stop(self.folder, epochs)
            self.progress.tell(
                f"stopped after epoch {epochs} of {self.progress.epochs}: no better F1 in "
                f"{number_of(self.patience, 'validation')} (trainer.patience)"
            )

    def _validate(self, trainer: pl.Trainer, module: MDHRTraining, epochs: int) -> None:
        module.eval()
        if trainer.world_size > 1:  # norms that are not synchronised have seen other clips in every process
            for buffer in module.judged.buffers():
                torch.distributed.broadcast(buffer, 0)
        scores = score(module.judged, self.data, self.settings, module.device, trainer.global_rank)
        module.train()
        if not np.isfinite(scores).all():
            module.stop("a score of a validation frame is not finite", f"after epoch {epochs}")
        predictions = Predictions(self.data.frames, scores)
        f1 = count(scores >= 0.5, self.data.frames.labels).f1
        each = {f"validation/f1_{code}": float(x) for code, x in zip(self.data.label_set.codes, f1, strict=True)}
        figures = {"validation/f1": mean(f1), **each}
        known = {name: figure for name, figure in figures.items() if not np.isnan(figure)}
        for logger in trainer.loggers:
            logger.log_metrics({**known, "epoch": epochs}, trainer.global_step)
        self.progress.validated(epochs, trainer.global_step, f1)
        if trainer.is_global_zero:
            stem = epoch_stem(self.folder, epochs)
            with whole(stem.with_suffix(".safetensors"), settled=True) as path:
                save_file({key: x.detach().cpu().contiguous() for key, x in module.judged.state_dict().items()}, path)
            predictions.save(stem.with_suffix(".npz"))


def score(model: MDHR, data: Tested, settings: Settings, device: torch.device, rank: int = 0) -> NDArray[np.float32]:
    """Scores (n, N) of all validation frames, in list order, of the model's N AUs; processes share the clips.

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
    rows, aus = len(data.frames.labels), len(model.config.label_set.aus)
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
        check_archive(checkpoint)
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
