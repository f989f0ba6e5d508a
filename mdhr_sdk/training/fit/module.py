"""MDHR as PyTorch Lightning trains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...errors import ConfigError, TrainingError
from ...model import MDHR
from ...modelfolder.strict import nearest
from .losses import Terms, asymmetric_loss, region_loss
from .order import Plan
from .recompute import checkpoint_activations
from .settings import OptimiserSettings, Settings

Batch = dict[str, Tensor]


class RunningMean(AveragedModel):
    """Parameters and real-valued buffers averaged; indices, counts and masks are the model's own."""

    def update_parameters(self, model: nn.Module) -> None:
        super().update_parameters(model)
        for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            if not ours.is_floating_point():
                ours.copy_(theirs)


class MDHRTraining(pl.LightningModule):
    """Loss, optimiser and what is judged in the end (`judged`: the running mean of the weights, if there is one).

    Args:
        weights: (N,) w_n of eq. 10.
        plan: the batches of the run; its length sets the cosine's.
        prepare: from clips as the loader gives them, on the device, to the model's input.
    """

    def __init__(
        self,
        model: MDHR,
        settings: Settings,
        weights: Sequence[float],
        plan: Plan,
        prepare: Callable[[Tensor], Tensor] = lambda clip: clip,
    ) -> None:
        super().__init__()
        self.model, self.plan, self.settings, self.prepare = model, plan, settings, prepare
        optimiser = settings.optimiser
        self.still = freeze(model, optimiser)
        self.average: AveragedModel | None = None
        if optimiser.ema is not None:
            average = get_ema_multi_avg_fn(optimiser.ema)
            self.average = RunningMean(model, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        if settings.trainer.activation_checkpointing:
            checkpoint_activations(model.encoder.backbone)
        self.au_weights: Tensor
        self.register_buffer("au_weights", torch.tensor(np.asarray(weights), dtype=torch.float32), persistent=False)
        self.train()

    @property
    def judged(self) -> MDHR:
        """The model to validate and to save."""
        return self.model if self.average is None else cast(MDHR, self.average.module)

    def train(self, mode: bool = True) -> MDHRTraining:
        super().train(mode)
        for module in self.still:
            module.eval()
        if self.average is not None:
            self.average.eval()
        return self

    def on_train_start(self) -> None:
        """The learning rate is that of the step: a run whose epochs were extended goes on by its new cosine at once."""
        schedule: Any = self.lr_schedulers()
        groups = self.trainer.optimizers[0].param_groups
        for group, base, factor in zip(groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
            group["lr"] = base * factor(schedule.last_epoch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        epoch, first, _ = self.plan.blocks[self.trainer.current_epoch]
        self._batch = batch_idx
        # for layers that draw at random, as stochastic depth: the same after an interruption
        place = np.random.SeedSequence((self.settings.trainer.seed, epoch, first + batch_idx, self.global_rank))
        torch.manual_seed(int(place.generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output = self.model(self.prepare(batch["clip"]))
        main = asymmetric_loss(output.scores, batch["labels"], self.au_weights, self.settings.loss.label_smoothing)
        regions = region_loss(output.region_logits, batch["regions"]) if output.region_logits else ()
        factors = (1.0, *[self.model.config.region_loss_weight] * len(regions))
        loss, means = self._over_processes((main, *regions), factors)
        value = sum(factor * float(mean) for factor, mean in zip(factors, means, strict=True))
        if not math.isfinite(value):
            self.stop(f"the loss is {value}", self._place(batch_idx))
        self.log("loss/aus", means[0])
        if regions:
            self.log("loss/regions", means[1:].mean())
        self.log("loss", value, prog_bar=True)
        self.log("learning_rate", max(group["lr"] for group in self.trainer.optimizers[0].param_groups))
        self.log("epoch", self.plan.blocks[self.trainer.current_epoch].epoch + 1.0)  # as validations count them
        return loss

    def _over_processes(self, terms: Sequence[Terms], factors: Sequence[float]) -> tuple[Tensor, Tensor]:
        """The loss to differentiate, and each term's mean over all processes.

        DDP averages gradients. With sums here divided by the number of all terms over the number of processes, that
        average is the gradient of the mean over the whole batch, however unknown labels are spread.
        """
        sums = torch.stack(
            [torch.stack([t.total.detach().float() for t in terms]), torch.stack([t.number for t in terms])]
        )
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(sums)
        numbers = sums[1].clamp_min(1)
        shares = zip(factors, terms, numbers, strict=True)
        loss = torch.stack([factor * t.total * self.trainer.world_size / n for factor, t, n in shares]).sum()
        return loss, sums[0] / numbers

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """A finite loss can have a gradient that is not, and one such step would spoil the next checkpoint.

        In fp16 such gradients are expected: the scaler of the loss leaves the step out.
        """
        if self.settings.trainer.precision == "16-mixed":
            return
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            self.stop("a gradient is not finite", self._place(self._batch))

    def _place(self, batch_idx: int) -> str:
        epoch, first, _ = self.plan.blocks[self.trainer.current_epoch]
        return f"in epoch {epoch + 1}, batch {first + batch_idx + 1}"

    def stop(self, what: str, where: str) -> NoReturn:
        """End a run whose numbers are none any more."""
        raise TrainingError(
            f"{what} {where}, step {self.global_step}; lower "
            "optimiser.learning_rate, set optimiser.clip_norm=1, take bf16-mixed instead of 16-mixed, and look for "
            "broken images; the last checkpoint is from before it"
        )

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def configure_optimizers(self) -> Any:
        optimiser = self.settings.optimiser
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(_rate(name, optimiser.rates), []).append(parameter)
        if not groups:
            raise ConfigError("optimiser.freeze leaves nothing to train; name fewer parts")
        adam = AdamW(
            [{"params": some, "lr": optimiser.learning_rate * rate} for rate, some in groups.items()],
            betas=optimiser.betas,
            weight_decay=optimiser.weight_decay,
        )
        steps = self.plan.steps(optimiser.accumulate)
        cosine = LambdaLR(adam, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps)))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


def freeze(model: MDHR, settings: OptimiserSettings) -> list[nn.Module]:
    """Take the gradient off frozen parameters; returns the modules that must stay in evaluation mode."""
    names = [name for name, _ in model.named_modules() if name]
    for start in (*settings.freeze, *settings.rates):
        if not any(_starts(name, start) for name, _ in model.named_parameters()):
            raise ConfigError(f"optimiser: no parameter's name starts with '{start}'; {nearest(start, names[:40])}")
    for name, parameter in model.named_parameters():
        if any(_starts(name, start) for start in settings.freeze):
            parameter.requires_grad_(False)
    return [
        module
        for name, module in model.named_modules()
        if any(_starts(name, start) for start in settings.freeze)
        or (settings.freeze_norms and isinstance(module, _BatchNorm))
    ]


def _starts(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def _rate(name: str, rates: dict[str, float]) -> float:
    """The factor of the longest start of `name`; 1 for none."""
    matching = [start for start in rates if _starts(name, start)]
    return rates[max(matching, key=len)] if matching else 1.0
