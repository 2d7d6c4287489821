"""Logistic regression on one variable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_STEPS = 50
# The fit ends with the first step that reduces the cost by less.
_LEAST_GAIN = 1e-10
_CENTRE = np.array([1.0, 0.0])


def fit_logistic(values: Floats, targets: Floats, weights: Floats, *, pull: float = 0.0) -> tuple[float, float]:
    """Slope and offset of the curve sigmoid(slope * value + offset) with the least weighted cross entropy.

    Newton's method, halving steps that overshoot.

    Args:
        values: [n].
        targets: [n], the probability of the positive class, 0 to 1.
        weights: [n].
        pull: weight of a penalty, half the squared distance of slope and offset from 1 and 0.
    """
    columns = np.column_stack([values, np.ones(len(values))])
    line = np.zeros(2)
    cost = _cost(line, columns, targets, weights, pull)
    for _ in range(_MAX_STEPS):
        step = _newton_step(line, columns, targets, weights, pull)
        while (now := _cost(line - step, columns, targets, weights, pull)) > cost and np.abs(step).max() > 1e-9:
            step /= 2
        gain = cost - now
        if gain > 0:
            line, cost = line - step, now
        if gain < _LEAST_GAIN:
            break
    return float(line[0]), float(line[1])


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-values))."""
    # An exp that overflows to infinity gives 0, as it should.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-values)))


def _cost(line: Floats, columns: Floats, targets: Floats, weights: Floats, pull: float) -> float:
    odds = columns @ line
    cross_entropy = (weights * (np.logaddexp(0, odds) - targets * odds)).sum()
    return float(cross_entropy + pull / 2 * ((line - _CENTRE) ** 2).sum())


def _newton_step(line: Floats, columns: Floats, targets: Floats, weights: Floats, pull: float) -> Floats:
    guess = sigmoid(columns @ line)
    gradient = columns.T @ (weights * (guess - targets)) + pull * (line - _CENTRE)
    curvature = (columns * (weights * guess * (1 - guess))[:, None]).T @ columns
    # The 1e-12 keeps the matrix invertible if all values are equal.
    return np.asarray(np.linalg.solve(curvature + (pull + 1e-12) * np.eye(2), gradient))
