"""Calibration: map a score to the probability that two faces show the same person, and measure its reliability.

All probabilities are at equal priors: genuine pairs together have the same weight as impostor pairs, whatever their
numbers. For another prior p multiply the odds by p / (1 - p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stats.bootstrap import Interval, Weights, interval, resampled
from stats.logistic import Floats, fit_logistic, sigmoid
from stats.roc import Bools, Scored, Scores


@dataclass(frozen=True)
class Calibration:
    """The logistic curve 1 / (1 + exp(-(slope * score + offset)))."""

    slope: float
    offset: float

    def probability(self, scores: Scores | float) -> Floats:
        """The probability that two faces with this score show the same person, at equal priors."""
        return sigmoid(self.slope * np.asarray(scores, np.float64) + self.offset)


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
    """Platt scaling: the logistic curve of maximum likelihood.

    Targets are Platt's (1999), (n + 1) / (n + 2) and 1 / (n + 2) for n pairs of a kind, so that perfectly separated
    scores still give a finite slope.
    """
    num_genuine, num_impostor = int(same.sum()), int((~same).sum())
    targets = np.where(same, (num_genuine + 1) / (num_genuine + 2), 1 / (num_impostor + 2))
    return Calibration(*fit_logistic(scores.astype(np.float64), targets, _equal_priors(same)))


NUM_BINS = 10
# A bin without pairs in more than half of the rounds has no interval.
_MIN_SHARE_OF_ROUNDS = 0.5


def reliability(calibration: Calibration, scores: Scores, same: Bools, *, num_bins: int = NUM_BINS) -> Reliability:
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


def observed_intervals(
    calibration: Calibration, pairs: Scored, weights: Weights, *, num_bins: int = NUM_BINS
) -> list[Interval | None]:
    """The 95% interval of the observed share of genuine pairs in each bin, empty ones included, by bootstrap.

    Args:
        weights: [identities, rounds] from `bootstrap.identity_weights`, one row per label of `pairs`.

    Returns:
        [bins]; None for a bin that has no pairs in most rounds, and for all if a higher score is not more probable.
    """
    if calibration.slope <= 0:
        return [None] * num_bins
    lows = np.arange(num_bins - 1, 0, -1) / num_bins
    thresholds = (np.log(lows / (1 - lows)) - calibration.offset) / calibration.slope
    rounds = resampled(pairs, np.append(thresholds, -np.inf), weights)
    # From the shares at or above each threshold to those between, and from the highest bin first to the lowest first.
    impostor, genuine = (np.diff(rate, axis=1, prepend=0.0)[:, ::-1] for rate in (rounds.far, rounds.tar))
    found: list[Interval | None] = []
    for place in range(num_bins):
        held = genuine[:, place] + impostor[:, place]
        is_known = held > 0
        is_enough = len(held) > 0 and is_known.mean() >= _MIN_SHARE_OF_ROUNDS
        found.append(interval(genuine[is_known, place] / held[is_known]) if is_enough else None)
    return found


def _equal_priors(same: Bools) -> Floats:
    """[pairs] weights with sum 1, half of it on each kind."""
    return np.asarray(np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum()), np.float64)
