"""Both heads against a loop over faces and identities."""

import math

import pytest
import torch
from torch.nn import functional

from model.losses.margin_softmax import MarginSoftmax


def slow_loss(head: MarginSoftmax, unit: torch.Tensor, labels: torch.Tensor) -> float:
    total = 0.0
    for row, label in zip(unit, labels.tolist(), strict=True):
        logits = []
        for person, weight in enumerate(head.weight.detach()):
            cosine = float(row @ weight / weight.norm())
            if person == label and head.kind == "cosface":
                cosine -= head.margin
            elif person == label:
                angle = math.acos(cosine)
                beyond = cosine - head.margin * math.sin(head.margin)
                cosine = math.cos(angle + head.margin) if angle + head.margin < math.pi else beyond
            logits.append(head.scale * cosine)
        total += math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
    return total / len(labels)


@pytest.mark.parametrize("kind", ["cosface", "arcface"])
@pytest.mark.parametrize("margin", [0.0, 0.35, 1.2])
def test_a_head_agrees_with_a_slow_loop(kind, margin):
    torch.manual_seed(0)
    head = MarginSoftmax(5, 2, kind, margin, scale=8.0)
    # In two dimensions random angles also pass pi - margin, where ArcFace goes on by another formula.
    unit, labels = functional.normalize(torch.randn(40, 2)), torch.randint(0, 5, (40,))
    assert head(unit, labels).total.item() == pytest.approx(slow_loss(head, unit, labels), rel=1e-4)


@pytest.mark.parametrize("kind", ["cosface", "arcface"])
def test_a_face_on_its_own_weight_has_a_finite_gradient(kind):
    head = MarginSoftmax(3, 4, kind, 0.35, 30.0)
    unit = functional.normalize(head.weight.detach()[:1]).requires_grad_()
    head(unit, torch.tensor([0])).total.backward()
    for seen in (unit, head.weight):
        assert seen.grad is not None
        assert torch.isfinite(seen.grad).all()


def test_a_head_knows_no_triplets():
    value = MarginSoftmax(3, 4, "cosface", 0.35, 30.0)(torch.eye(4)[:2], torch.tensor([0, 1]))
    assert value.triplet is None
    assert value.active_share is None
