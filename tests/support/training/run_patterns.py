"""A small training run as a process of its own: FOLDER, KILL (batch or 'save N', 0 for none), then settings.

Writes the gradient of the first step beside the folder, as gradient.npz.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdhr_sdk.training.fit import fit as fitting
from mdhr_sdk.training.fit.module import MDHRTraining
from patterns import fold_data, settings


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, batch: int, save: int, changes: list[str]) -> None:
    seen = {"batches": 0, "saves": 0, "steps": 0}
    start, keep = MDHRTraining.on_train_batch_start, fitting.Predictions.save
    build = fitting.starting_model

    def on_train_batch_start(self: Any, *args: Any) -> None:
        start(self, *args)
        seen["batches"] += 1
        if seen["batches"] == batch:
            kill()

    def save_predictions(self: Any, path: Path) -> None:
        seen["saves"] += 1
        if seen["saves"] == save:
            kill()
        keep(self, path)

    def with_dropout(*args: Any, **options: Any) -> Any:
        model = build(*args, **options)
        if "trainer.devices=2" not in changes and "compare" not in folder.name:
            drop = lambda layer, _, out: torch.nn.functional.dropout(out, 0.1, layer.training)  # noqa: E731
            model.encoder.static.register_forward_hook(drop)  # something random in every step
        return model

    def on_before_optimizer_step(self: Any, _: Any) -> None:
        seen["steps"] += 1
        if seen["steps"] == 1 and self.global_rank == 0:
            gradients = {name: p.grad.numpy() for name, p in self.model.named_parameters() if p.grad is not None}
            np.savez(folder.with_name(f"{folder.name}.gradient.npz"), **gradients)

    patched: Any = MDHRTraining
    patched.on_train_batch_start, patched.on_before_optimizer_step = on_train_batch_start, on_before_optimizer_step
    fitting.Predictions.save = save_predictions  # type: ignore[method-assign]
    fitting.starting_model = with_dropout
    fitting.fit(settings(*changes), fold_data(), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
