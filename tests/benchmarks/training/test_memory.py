"""The arithmetic against one that can be done by hand."""

from __future__ import annotations

from benchmarks.training.memory import need
from mdhr_sdk.model import build_mdhr
from mdhr_sdk.training.fit.settings import read_settings

SMALL = (
    "model.backbone=resnet18", "model.input_size_px=64", "model.au_width=16", "model.projection_width=16",
    "data.clip_length=4", "data.dataset=disfa",
)  # fmt: skip


def test_state_is_four_copies_of_what_is_trained() -> None:
    model = build_mdhr("disfa", "resnet18", input_size_px=64, au_width=16, projection_width=16)
    every = sum(p.numel() for p in model.parameters())
    frozen = sum(p.numel() for p in model.encoder.backbone.parameters())
    assert 0 <= need(read_settings(None, SMALL)).state - 16 * every < 0.01 * every
    less = need(read_settings(None, [*SMALL, "optimiser.freeze=[encoder.backbone]"])).state
    assert 0 <= less - (16 * every - 12 * frozen) < 0.01 * every


def test_what_saves_memory_keeps_less_and_clips_add_up() -> None:
    plain = need(read_settings(None, SMALL))
    first_layer = 4 * 4 * 64 * 32 * 32  # bytes of the first convolution's output, which BatchNorm keeps
    assert plain.clip > first_layer and plain.total == plain.state + 8 * plain.clip
    for word in (
        "trainer.activation_checkpointing=true",
        "trainer.precision=bf16-mixed",
        "optimiser.freeze=[encoder.backbone]",
    ):
        assert need(read_settings(None, [*SMALL, word])).clip < 0.85 * plain.clip
