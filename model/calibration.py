"""Calibration: map a score to the probability that two faces show the same person, and measure its reliability.

All probabilities are at equal priors: genuine pairs together have the same weight as impostor pairs, whatever their
numbers. For another prior p multiply the odds by p / (1 - p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.verification import Bools, Floats, Scores

_MAX_NEWTON_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """The logistic curve 1 / (1 + exp(-(slope * score + offset)))."""

    slope: float
    offset: float

    def probability(self, scores: Scores | float) -> Floats:
        """The probability that two faces with this score show the same person, at equal priors."""
        # Unlike exp, tanh does not overflow.
        return np.asarray((1 + np.tanh((self.slope * np.asarray(scores, np.float64) + self.offset) / 2)) / 2)


@dataclass(frozen=True)
class Reliability:
    """Reliability of predicted probabilities.

    Attributes:
        brier: mean squared difference of the probability from 0 or 1; a constant 1/2 gives 0.25.
        expected_error: mean distance of predicted probability and observed share over ten bins (ECE).
        said: [bins] mean predicted probability of the non-empty bins.
        observed: [bins] weighted share of genuine pairs.
        weight: [bins] share of all pairs.
    """

    brier: float
    expected_error: float
    said: list[float]
    observed: list[float]
    weight: list[float]


def fit_calibration(scores: Scores, same: Bools) -> Calibration:
    """Platt scaling: maximum likelihood of the logistic curve by Newton's method, halving steps that do not improve.

    Targets are Platt's (1999), (n + 1) / (n + 2) and 1 / (n + 2) for n pairs of a kind, so that perfectly separated
    scores still give a finite slope.
    """
    columns = np.column_stack([scores.astype(np.float64), np.ones(len(scores))])
    num_genuine, num_impostor = int(same.sum()), int((~same).sum())
    targets = np.where(same, (num_genuine + 1) / (num_genuine + 2), 1 / (num_impostor + 2))
    weights = _equal_priors(same)
    found, cost = np.zeros(2), _cross_entropy(np.zeros(2), columns, targets, weights)
    for _ in range(_MAX_NEWTON_STEPS):
        step = _newton_step(found, columns, targets, weights)
        while (now := _cross_entropy(found - step, columns, targets, weights)) > cost and np.abs(step).max() > 1e-9:
            step /= 2
        if cost - now < 1e-10:
            break
        found, cost = found - step, now
    return Calibration(float(found[0]), float(found[1]))


def reliability(calibration: Calibration, scores: Scores, same: Bools, *, num_bins: int = 10) -> Reliability:
    """Compare the predicted probabilities of pairs with their labels."""
    said, weights = calibration.probability(scores), _equal_priors(same)
    bins = np.minimum((said * num_bins).astype(np.int64), num_bins - 1)
    weight, sum_said, sum_same = (
        np.bincount(bins, weights * part, num_bins) for part in (np.ones(len(said)), said, same.astype(np.float64))
    )
    held = weight > 0
    mean_said, observed = sum_said[held] / weight[held], sum_same[held] / weight[held]
    return Reliability(
        brier=float((weights * (said - same) ** 2).sum()),
        expected_error=float((weight[held] * np.abs(mean_said - observed)).sum()),
        said=mean_said.tolist(),
        observed=observed.tolist(),
        weight=weight[held].tolist(),
    )


def _equal_priors(same: Bools) -> Floats:
    """[pairs] weights with sum 1, half of it on each kind."""
    return np.asarray(np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum()), np.float64)


def _cross_entropy(curve: Floats, columns: Floats, targets: Floats, weights: Floats) -> float:
    odds = columns @ curve
    return float((weights * (np.logaddexp(0, odds) - targets * odds)).sum())


def _newton_step(curve: Floats, columns: Floats, targets: Floats, weights: Floats) -> Floats:
    said = (1 + np.tanh(columns @ curve / 2)) / 2
    slope = columns.T @ (weights * (said - targets))
    curvature = (columns * (weights * said * (1 - said))[:, None]).T @ columns
    return np.asarray(np.linalg.solve(curvature + 1e-12 * np.eye(2), slope), np.float64)
