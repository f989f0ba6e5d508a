"""The loss against a slow loop in double precision, and its gradient against the formula."""

from __future__ import annotations

import math

import pytest
import torch

from mdhr_sdk.training.fit.losses import asymmetric_loss, region_loss


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
