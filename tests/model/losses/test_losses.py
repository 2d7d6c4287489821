"""What holds for every entry of LOSSES."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from model.losses import LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_positive_scalar_with_a_gradient(name, tiny):
    config = tiny(loss=name)
    loss = LOSSES[name](config, 4)
    raw = torch.randn(8, config.embedding_dim, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = loss(functional.normalize(raw), torch.arange(4).repeat_interleave(2))
    value.total.backward()
    assert value.total.shape == ()
    assert value.total > 0
    assert raw.grad.abs().max() > 0
    assert (value.triplet is None) == ("triplet" not in name)


@pytest.mark.parametrize("kind", ["cosface", "arcface"])
def test_a_combined_loss_is_the_weighted_sum_of_its_parts(kind, tiny):
    config = tiny(loss=f"triplet+{kind}", head_weight=0.5)
    combined = LOSSES[config.loss](config, 4)
    unit, labels = functional.normalize(torch.randn(8, config.embedding_dim)), torch.arange(4).repeat_interleave(2)
    assert isinstance(combined.triplet, nn.Module) and isinstance(combined.head, nn.Module)
    value = combined(unit, labels)
    assert torch.isclose(value.triplet, combined.triplet(unit, labels).total)
    assert torch.isclose(value.total, value.triplet + 0.5 * combined.head(unit, labels).total)
