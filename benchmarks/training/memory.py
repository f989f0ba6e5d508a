"""Memory of a training step by arithmetic: weights, gradients, optimiser, and what autograd keeps of a batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
import typer
from rich.table import Table
from torch import Tensor

from benchmarks.report import Json, console, write_json
from mdhr_sdk.aus import label_set
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.model import MDHR
from mdhr_sdk.training.fit.losses import asymmetric_loss
from mdhr_sdk.training.fit.module import freeze
from mdhr_sdk.training.fit.recompute import checkpoint_activations
from mdhr_sdk.training.fit.settings import Settings, read_settings

GIB = 2**30
VARIANTS: dict[str, tuple[str, ...]] = {
    "paper": (),
    "bf16-mixed": ("trainer.precision=bf16-mixed",),
    "activation checkpointing": ("trainer.activation_checkpointing=true",),
    "both": ("trainer.precision=bf16-mixed", "trainer.activation_checkpointing=true"),
    "frozen backbone": ("optimiser.freeze=[encoder.backbone]",),
    "bf16-mixed, frozen backbone": ("trainer.precision=bf16-mixed", "optimiser.freeze=[encoder.backbone]"),
}
NOTE = (
    "State: float32 weights, gradients of those that are trained, two moments of AdamW for each, and what autograd "
    "holds whatever the batch (as weights in half precision). Kept: what it holds more of for one clip more. "
    "Not in it: workspaces, the allocator's reserve, and, with checkpointing, the one block that is computed again. "
    "Autocast is the CPU's, whose list of operations differs a little from CUDA's."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Need:
    """Bytes of one variant; `clip` for a single clip."""

    state: int
    clip: int
    clips: int

    @property
    def total(self) -> int:
        return self.state + self.clips * self.clip


def need(settings: Settings) -> Need:
    """Run one clip and two forward on the CPU and add up."""
    torch.manual_seed(0)
    labels = label_set(settings.data.dataset)
    model = MDHR(settings.model_config(labels)).train()
    for module in freeze(model, settings.optimiser):
        module.eval()
    if settings.trainer.activation_checkpointing:
        checkpoint_activations(model.encoder.backbone)
    one, two = (_kept(model, settings, clips) for clips in (1, 2))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    state = 4 * (sum(p.numel() for p in model.parameters()) + 3 * trained)
    return Need(state + 2 * one - two, two - one, settings.trainer.batch_size)


def _kept(model: MDHR, settings: Settings, clips: int) -> int:
    """Bytes that autograd holds after a forward pass, weights apart, each storage once."""
    size, aus = model.config.input_size_px, len(model.config.label_set.aus)
    weights = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    held: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    mixed = settings.trainer.precision == "bf16-mixed"
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            output = model(torch.zeros(clips, settings.data.clip_length, 3, size, size))
        target = torch.zeros(output.scores.shape, dtype=torch.int8)
        loss = asymmetric_loss(output.scores, target, torch.ones(aus)).total
    assert loss.requires_grad  # and so the graph is alive
    return sum(held.values())


@app.command()
def main(
    backbone: Annotated[str, typer.Option(help="resnet50, swin_base or a timm name.")] = "resnet50",
    label_set: Annotated[str, typer.Option(help="bp4d or disfa.")] = "bp4d",
    json: Json = None,
) -> None:
    """Print the memory of a training step of preset `paper` and of what saves some."""
    table = Table(
        "", "state, GiB", "kept a clip, GiB", "batch", "together, GiB", title=f"{backbone}, {label_set}, preset paper"
    )
    found: dict[str, Any] = {}
    for name, words in VARIANTS.items():
        one = need(read_settings(None, (f"model.backbone={backbone}", f"data.dataset={label_set}", *words)))
        found[name] = {**asdict(one), "total": one.total}
        table.add_row(
            name, *(f"{x / GIB:.2f}" for x in (one.state, one.clip)), str(one.clips), f"{one.total / GIB:.2f}"
        )
    console.print(table)
    console.print(NOTE)
    write_json(json, {"benchmark": "memory", "backbone": backbone, "label_set": label_set, "bytes": found})


if __name__ == "__main__":
    run_app(app)
