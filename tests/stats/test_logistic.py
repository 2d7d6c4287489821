"""The fit against two hundred clipped Newton steps, and against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from stats.logistic import fit_logistic, sigmoid


def slow_fit(values, targets, weights, pull):
    columns, line, centre = np.column_stack([values, np.ones(len(values))]), np.zeros(2), np.array([1.0, 0.0])
    for _ in range(200):
        guess = sigmoid(columns @ line)
        gradient = columns.T @ (weights * (targets - guess)) - pull * (line - centre)
        curvature = (columns * (weights * guess * (1 - guess))[:, None]).T @ columns + pull * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        line = line + step / max(1, np.abs(step).max())
    return line


def two_classes(seed: int):
    """Values of two classes of other sizes, at other distances and scales; each class has the weight 1."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 3000, 2)
    values = np.concatenate([rng.normal(rng.uniform(0, 6), 1, sizes[0]), rng.normal(0, 1, sizes[1])])
    return values * 10 ** rng.uniform(-1, 1), np.repeat([1.0, 0.0], sizes), np.repeat(1 / sizes, sizes)


@pytest.mark.parametrize("seed", range(20))
def test_a_fit_to_soft_targets_agrees_with_a_slow_one(seed):
    values, labels, weights = two_classes(seed)
    num = np.where(labels, labels.sum(), (1 - labels).sum())
    targets = np.where(labels, (num + 1) / (num + 2), 1 / (num + 2))
    slow = slow_fit(values, targets, weights / 2, 0.0)
    found = fit_logistic(values, targets, weights / 2)
    assert sigmoid(found[0] * values + found[1]) == pytest.approx(sigmoid(slow[0] * values + slow[1]), abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_a_pulled_fit_agrees_with_a_slow_one(seed):
    values, labels, weights = two_classes(seed)
    assert fit_logistic(values, labels, weights, pull=1e-3) == pytest.approx(
        slow_fit(values, labels, weights, 1e-3), abs=1e-6
    )


def test_values_that_say_nothing_give_the_log_odds_of_the_targets():
    found = fit_logistic(np.zeros(4), np.array([1.0, 0.0, 0.0, 0.0]), np.ones(4))
    assert found == pytest.approx((0, np.log(1 / 3)), abs=1e-6)


def test_a_strong_pull_gives_the_slope_1_and_the_offset_0():
    assert fit_logistic(*two_classes(0), pull=1e9) == pytest.approx((1, 0), abs=1e-6)


def test_the_sigmoid_keeps_its_precision_in_the_tail_and_does_not_overflow():
    found = sigmoid(np.array([-1e9, -40.0, 0.0, 1e9]))
    assert found == pytest.approx([0, np.exp(-40), 0.5, 1], rel=1e-12, abs=0)
