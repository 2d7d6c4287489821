"""Each miner against a loop over all triplets."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.losses.triplet import MINERS, TripletLoss, squared_distances

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])


def unit_rows(seed: int) -> Tensor:
    return functional.normalize(torch.randn(len(LABELS), 4, generator=torch.Generator().manual_seed(seed)))


def slow_triplets(distances: Tensor, mining: str) -> list[tuple[int, int, int]]:
    people = range(len(LABELS))
    found = []
    for a in people:
        positives = [p for p in people if LABELS[p] == LABELS[a] and p != a]
        negatives = [n for n in people if LABELS[n] != LABELS[a]]
        if mining == "batch_hard" and positives:
            hardest = max(positives, key=lambda p: distances[a, p])
            found.append((a, hardest, min(negatives, key=lambda n: distances[a, n])))
        for p in positives if mining != "batch_hard" else []:
            farther = [n for n in negatives if distances[a, n] > distances[a, p]]
            nearest = min(farther, key=lambda n: distances[a, n], default=None)
            farthest = max(negatives, key=lambda n: distances[a, n])
            chosen = negatives if mining == "batch_all" else [farthest if nearest is None else nearest]
            found += [(a, p, n) for n in chosen]
    return found


@pytest.mark.parametrize("mining", MINERS)
@pytest.mark.parametrize("margin", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_miner_agrees_with_a_slow_loop(mining, margin, seed):
    unit = unit_rows(seed)
    distances = torch.cdist(unit, unit).square()
    costs = [
        max(0.0, float(distances[a, p] - distances[a, n]) + margin) for a, p, n in slow_triplets(distances, mining)
    ]
    active = [cost for cost in costs if cost > 0]
    value = TripletLoss(margin, mining)(unit, LABELS)
    assert value.total.item() == pytest.approx(sum(active) / len(active), abs=1e-5)
    assert float(value.active_share) == pytest.approx(len(active) / len(costs))


def test_distances_are_squared_and_euclidean():
    unit = unit_rows(0)
    assert torch.allclose(squared_distances(unit), torch.cdist(unit, unit).square(), atol=1e-5)


@pytest.mark.parametrize("mining", MINERS)
def test_people_far_apart_cost_nothing_and_give_no_gradient(mining):
    unit = functional.one_hot(torch.tensor([0, 0, 1, 1])).float().requires_grad_()
    value = TripletLoss(1.0, mining)(unit, torch.tensor([0, 0, 1, 1]))
    value.total.backward()
    assert value.total.item() == float(value.active_share) == 0
    assert float(unit.grad.abs().max()) == 0


@pytest.mark.parametrize("mining", MINERS)
def test_faces_all_in_one_point_cost_exactly_the_margin(mining):
    unit = functional.normalize(torch.ones(6, 4))
    value = TripletLoss(1.5, mining)(unit, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert value.total.item() == pytest.approx(1.5, abs=1e-5)


@pytest.mark.parametrize("mining", MINERS)
def test_a_step_down_the_gradient_lowers_the_loss(mining):
    raw = torch.randn(10, 4, generator=torch.Generator().manual_seed(2), requires_grad=True)
    loss = TripletLoss(1.0, mining)
    before = loss(functional.normalize(raw), LABELS).total
    before.backward()
    assert raw.grad is not None
    assert loss(functional.normalize(raw - 0.01 * raw.grad), LABELS).total < before
