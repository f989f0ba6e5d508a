"""What a step does: loss, order, rates, running mean, accumulation, and activations that are computed twice."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.model import build_mdhr
from mdhr_sdk.model.backbones import build_backbone
from mdhr_sdk.training.fit.fit import class_weights, fit, starting_model
from mdhr_sdk.training.fit.losses import asymmetric_loss, region_loss
from mdhr_sdk.training.fit.module import MDHRTraining, RunningMean
from mdhr_sdk.training.fit.order import BlockBatches, Plan
from mdhr_sdk.training.fit.recompute import checkpoint_activations
from patterns import LABELS, Clips, fold_data, settings


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    videos=st.integers(2, 40),
    size=st.integers(1, 6),
    processes=st.integers(1, 2),
    block=st.one_of(st.none(), st.integers(1, 5)),
    seed=st.integers(0, 3),
)
def test_blocks_and_processes_share_out_every_epoch(
    videos: int, size: int, processes: int, block: int | None, seed: int
) -> None:
    plan = Plan(videos, size * processes, 3, seed, processes, block)
    readers = [BlockBatches(plan, rank) for rank in range(processes)]
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for number, (epoch, first, last) in enumerate(plan.blocks):
        assert first < last and (block is None or last - first <= block)
        for reader in readers:
            reader.set_epoch(number)
        for parts in zip(*readers, strict=True):
            keys = [key for part in parts for key in part]
            assert len({len(part) for part in parts}) == 1 and {key[0] for key in keys} == {epoch}
            found[epoch] += [key[1] for key in keys]
    for items in found.values():
        assert len(items) == len(set(items)) >= videos - (processes - 1)
    assert sum(last - first for _, first, last in plan.blocks) == 3 * plan.batches
    if videos > 6:
        assert found[0] != found[1]


def test_more_processes_than_videos_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 processes need as many videos; got 2"):
        Plan(2, 3, 1, 0, processes=3)


def module(*words: str, videos: int = 10) -> MDHRTraining:
    chosen = settings(*words)
    torch.manual_seed(0)
    plan = Plan(videos, chosen.trainer.batch_size, chosen.trainer.epochs, 0)
    return MDHRTraining(starting_model(chosen, LABELS), chosen, [1.0, 1.0, 1.0], plan)


def test_rates_follow_the_longest_start_and_the_cosine() -> None:
    words = ("optimiser.rates={encoder: 0.1, encoder.backbone: 0.01}", "optimiser.freeze=[head.score]")
    one = module(*words)
    made = one.configure_optimizers()
    rates = {id(p): group["initial_lr"] for group in made["optimizer"].param_groups for p in group["params"]}
    for name, parameter in one.model.named_parameters():
        expected = 1e-5 if name.startswith("encoder.backbone") else 1e-4 if name.startswith("encoder") else 1e-3
        assert (id(parameter) not in rates) if name.startswith("head.score") else rates[id(parameter)] == expected
    cosine, steps = made["lr_scheduler"]["scheduler"], 9  # three epochs of three batches
    seen = []
    for _ in range(steps + 1):
        seen.append(cosine.get_last_lr()[0] / cosine.base_lrs[0])
        made["optimizer"].step()
        cosine.step()
    assert seen == pytest.approx([0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps + 1)])
    group = made["optimizer"].defaults
    assert (group["betas"], group["weight_decay"]) == ((0.9, 0.999), 5e-4)


def test_the_running_mean_of_the_weights_is_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value followed through all steps, by the formula."""
    seen: list[float] = []
    step = MDHRTraining.optimizer_step

    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        if not seen:
            seen.append(float(self.model.head.score.reference[0, 0]))
        step(self, *args, **kwargs)
        seen.append(float(self.model.head.score.reference[0, 0]))

    monkeypatch.setattr(MDHRTraining, "optimizer_step", watched)
    data = fold_data()
    fit(settings("optimiser.ema=0.5", "trainer.epochs=2"), data, tmp_path / "run")
    mean = seen[1]  # the first step sets it
    for value in seen[2:]:
        mean = 0.5 * mean + 0.5 * value
    saved = load_file(tmp_path / "run" / "epoch_0002.safetensors")
    assert len(seen) == 7 and float(saved["head.score.reference"][0, 0]) == pytest.approx(mean, rel=1e-5)
    assert mean != seen[-1]
    assert isinstance(data.train, Clips) and sorted(data.train.asked) == [(e, v) for e in (0, 1) for v in range(10)]
    assert (tmp_path / "run" / "logs" / "start_0" / "metrics.csv").is_file()


@pytest.mark.parametrize("decay", [0.5, 0.999])
@pytest.mark.parametrize("backbone", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_the_running_mean_leaves_indices_and_counts_alone(decay: float, backbone: str) -> None:
    model = build_mdhr("disfa", backbone, input_size_px=64, projection_width=16, au_width=16)
    mean = RunningMean(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    whole = [name for name, buffer in model.named_buffers() if not buffer.is_floating_point()]
    assert any("order" in name for name in whole)
    assert backbone == "resnet18" or any("relative_position_index" in name for name in whole)
    for _ in range(5):
        for name, buffer in model.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer += 1
        mean.update_parameters(model)
        ours, theirs = dict(mean.module.named_buffers()), dict(model.named_buffers())
        assert all(torch.equal(ours[name], theirs[name]) for name in whole)


def test_the_running_mean_takes_in_the_statistics_of_norms() -> None:
    norm = nn.BatchNorm1d(2)
    mean = RunningMean(norm, multi_avg_fn=get_ema_multi_avg_fn(0.75), use_buffers=True)
    for value in (0.0, 4.0, 8.0):
        norm.running_mean.fill_(value)
        mean.update_parameters(norm)
    torch.testing.assert_close(mean.module.running_mean, torch.full((2,), 0.75 * (0.25 * 4) + 0.25 * 8))


def test_accumulation_steps_once_for_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def count_step(self: Any, _: Any) -> None:
        steps.append(self.global_step)

    monkeypatch.setattr(MDHRTraining, "on_before_optimizer_step", count_step)
    fit(settings("optimiser.accumulate=2", "trainer.epochs=2"), fold_data(), tmp_path / "run")
    assert len(steps) == 2 * 2  # three batches an epoch: two and one


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "resnet18",
        "mobilenetv4_conv_small",
        "convnext_atto",
        pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow),
    ],
)
def test_checkpointed_activations_change_neither_gradients_nor_statistics(backbone: str) -> None:
    torch.manual_seed(0)
    plain = build_backbone(backbone, 64).train()
    for part in plain.modules():
        if type(part).__name__ == "DropPath":
            part.drop_prob = 0.0  # type: ignore[assignment]
    saving = copy.deepcopy(plain)
    assert checkpoint_activations(saving) > 3
    frames = torch.randn(4, 3, 64, 64)
    kept: list[int] = []
    for network in (plain, saving):
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            total = sum((m**2).mean() for m in (*network(frames).maps, network(frames).final))
        kept.append(sum(sizes.values()))
        assert isinstance(total, torch.Tensor)
        total.backward()
    for (name, ours), theirs in zip(saving.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)
    for (name, ours), theirs in zip(saving.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)
    assert kept[1] < 0.7 * kept[0]


def test_a_backbone_without_known_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match="knows no blocks"):
        checkpoint_activations(nn.Sequential(nn.Conv2d(3, 3, 1)))


def test_checkpointed_activations_in_the_whole_model() -> None:
    torch.manual_seed(0)
    model = build_mdhr("disfa", "resnet18", input_size_px=64, projection_width=16, au_width=16).train()
    other = copy.deepcopy(model)
    checkpoint_activations(other.encoder.backbone)
    clip = torch.randn(1, 4, 3, 64, 64)
    for one in (model, other):
        one(clip).scores.sum().backward()
    first, second = model.encoder.backbone.net.conv1.weight.grad, other.encoder.backbone.net.conv1.weight.grad
    torch.testing.assert_close(first, second)


def test_asymmetric_loss_is_equation_10() -> None:
    torch.manual_seed(0)
    scores = torch.rand(2, 5, 3, dtype=torch.float64).float()
    scores[0, 0] = torch.tensor([0.0, 1.0, 0.0])  # at the clamp
    labels = torch.randint(-1, 2, (2, 5, 3), dtype=torch.int8)
    labels[0, 0] = torch.tensor([1, 0, 0])
    weights = torch.tensor([0.5, 1.0, 1.5])
    total, number = 0.0, 0
    for b in range(2):
        for t in range(5):
            for n in range(3):
                p, y = float(scores[b, t, n]), int(labels[b, t, n])
                if y == -1:
                    continue
                positive, negative = math.log(max(p, 1e-8)), p * math.log(max(1 - p, 1e-8))
                total -= float(weights[n]) * (y * positive + (1 - y) * negative)
                number += 1
    terms = asymmetric_loss(scores, labels, weights)
    assert terms.number == number
    assert float(terms.mean) == pytest.approx(total / number, rel=1e-5)


def test_smoothed_labels_are_a_mixture_of_both_terms() -> None:
    scores = torch.tensor([[0.3, 0.6, 0.5]])
    labels = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    present, absent = scores.log(), scores * (1 - scores).log()
    wanted = -(0.95 * present[0, 0] + 0.05 * absent[0, 0] + 2 * (0.05 * present[0, 1] + 0.95 * absent[0, 1]))
    terms = asymmetric_loss(scores, labels, torch.tensor([1.0, 2.0, 3.0]), 0.1)
    assert terms.number == 2 and float(terms.total) == pytest.approx(float(wanted), rel=1e-6)


def test_class_weights_are_the_papers_none_or_changed_by_au() -> None:
    data = fold_data()
    assert class_weights(settings(), data) == [0.8, 1.0, 1.2]
    assert class_weights(settings("loss.class_weights=none"), data) == [1.0, 1.0, 1.0]
    assert class_weights(settings("loss.class_weights={AU04: 2.5}"), data) == [0.8, 2.5, 1.2]
    with pytest.raises(ConfigError, match="AU02 not in the data, which has AU01, AU04, AU12"):
        class_weights(settings("loss.class_weights={AU02: 2.5}"), data)


def test_the_factor_has_no_gradient() -> None:
    scores = torch.tensor([[0.3, 0.6]], requires_grad=True)
    asymmetric_loss(scores, torch.tensor([[1, 0]], dtype=torch.int8), torch.ones(2)).total.backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([[-1 / 0.3, 0.6 / (1 - 0.6)]]))


def test_region_loss_is_cross_entropy_without_unknown_frames() -> None:
    torch.manual_seed(0)
    logits = (torch.randn(2, 4, 8), torch.randn(2, 4, 2))
    classes = torch.stack([torch.randint(0, 8, (2, 4)), torch.randint(0, 2, (2, 4))], dim=-1)
    classes[0, 0] = -1
    classes[1, :, 1] = -1
    for group, terms in enumerate(region_loss(logits, classes)):
        chosen = [
            -float(logits[group][b, t].log_softmax(0)[classes[b, t, group]])
            for b in range(2)
            for t in range(4)
            if classes[b, t, group] >= 0
        ]
        assert terms.number == len(chosen)
        assert float(terms.mean) == pytest.approx(sum(chosen) / len(chosen), rel=1e-5)


def test_nothing_known_costs_nothing() -> None:
    scores = torch.rand(1, 2, 3, requires_grad=True)
    terms = asymmetric_loss(scores, torch.full((1, 2, 3), -1, dtype=torch.int8), torch.ones(3))
    terms.mean.backward()
    assert terms.mean == 0 and scores.grad is not None and not scores.grad.any()
    (region,) = region_loss((torch.randn(1, 2, 4),), torch.full((1, 2, 1), -1))
    assert region.mean == 0
