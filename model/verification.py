"""Figures of verification: how well scores of pairs tell the same person from two people. Numpy only.

Scores are cosines, higher means more alike. FAR is the share of impostor pairs accepted, TAR the share of
genuine ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = NDArray[np.float32] | NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int64]

# A TAR at a FAR is reported only where so many false accepts are expected: with fewer, chance decides.
MIN_FALSE_ACCEPTS = 30


def roc(scores: Scores, same: Bools) -> tuple[Floats, Floats, Floats]:
    """(far, tar, thresholds), one entry a distinct score from the highest down: accepted are scores >= threshold."""
    order = np.argsort(-scores, kind="stable")
    ordered, genuine = scores[order].astype(np.float64), same[order]
    last_of_equal = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    accepted = np.cumsum(genuine)[last_of_equal]
    false = (last_of_equal + 1) - accepted
    return false / (~same).sum(), accepted / same.sum(), ordered[last_of_equal]


def auc(scores: Scores, same: Bools) -> float:
    """The chance that a genuine pair scores above an impostor pair, equal scores counting half."""
    return _weighted_auc(np.unique(scores, return_inverse=True)[1], same, np.ones(len(scores)))


def bootstrap_auc(
    scores: Scores, same: Bools, left: Labels, right: Labels, *, rounds: int = 200, seed: int = 0
) -> tuple[float, float]:
    """The 95% interval of the AUC under resampling of identities, which faces of one person are not independent of.

    An identity drawn c times gives its genuine pairs weight c, and a pair of identities drawn c and e times
    gives its impostor pairs weight ce.

    Args:
        left: [pairs] label of the first face of each pair.
        right: [pairs] label of the second.
    """
    rng = np.random.default_rng(seed)
    labels, codes = np.unique(np.concatenate([left, right]), return_inverse=True)
    # In the order of scores a round counts along memory: 200 over 2 M pairs take 6 CPU-s, not 14.
    order = np.argsort(scores)
    first, second, same = codes[: len(left)][order], codes[len(left) :][order], same[order]
    ranks = np.unique(scores[order], return_inverse=True)[1]
    figures = []
    for _ in range(rounds):
        drawn = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels))).astype(np.float64)
        weights = np.where(same, drawn[first], drawn[first] * drawn[second])
        if weights[same].any() and weights[~same].any():
            figures.append(_weighted_auc(ranks, same, weights))
    low, high = np.quantile(figures, [0.025, 0.975])
    return float(low), float(high)


def _weighted_auc(ranks: NDArray[np.intp], same: Bools, weights: Floats) -> float:
    genuine = np.bincount(ranks, weights * same)
    impostor = np.bincount(ranks, weights * ~same)
    beaten = np.cumsum(impostor) - impostor / 2
    return float((genuine * beaten).sum() / (genuine.sum() * impostor.sum()))


def equal_error_rate(scores: Scores, same: Bools) -> float:
    """Where FAR and 1 - TAR cross, on the straight line between the two nearest points of the ROC."""
    far, tar, _ = roc(scores, same)
    far, tar = np.append(0.0, far), np.append(0.0, tar)
    gap = far - (1 - tar)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(far[after - 1] + share * (far[after] - far[after - 1]))


def tar_at_far(scores: Scores, same: Bools, far: float) -> float | None:
    """The highest TAR whose FAR is at most `far`; None where that FAR is below 30 false accepts."""
    if (~same).sum() * far < MIN_FALSE_ACCEPTS:
        return None
    fars, tars, _ = roc(scores, same)
    return float(tars[fars <= far].max(initial=0.0))


def best_threshold(scores: Scores, same: Bools) -> float:
    """The threshold of the highest balanced accuracy, midway to the next lower score."""
    far, tar, thresholds = roc(scores, same)
    best = int(np.argmax(tar - far))
    below = thresholds[min(best + 1, len(thresholds) - 1)]
    return float((thresholds[best] + below) / 2)


def balanced_accuracy(scores: Scores, same: Bools, threshold: float) -> float:
    """Mean of the shares of genuine pairs accepted and of impostor pairs refused, as if both were equally many."""
    accepted = scores >= threshold
    return float((accepted[same].mean() + (~accepted[~same]).mean()) / 2)


def folded_accuracy(scores: Scores, same: Bools, *, folds: int = 10, seed: int = 0) -> float:
    """Mean balanced accuracy over folds of the pairs, each with the best threshold of the other folds.

    There are as many folds as have both kinds of pairs; a lone pair of a kind is judged by its own best threshold.
    """
    folds = min(folds, int(same.sum()), int((~same).sum()))
    if folds < 2:
        return balanced_accuracy(scores, same, best_threshold(scores, same))
    rng = np.random.default_rng(seed)
    fold = np.empty(len(scores), np.int64)
    for kind in (same, ~same):
        fold[kind] = rng.permutation(int(kind.sum())) % folds
    figures = [
        balanced_accuracy(scores[inside], same[inside], best_threshold(scores[~inside], same[~inside]))
        for inside in (fold == number for number in range(folds))
    ]
    return float(np.mean(figures))


def rank_1(unit: NDArray[np.float32], labels: Labels) -> float:
    """The share of faces whose nearest other face is of the same person, among those of whom there is another.

    Args:
        unit: [n, d] unit rows.
        labels: [n].
    """
    hits = []
    for start in range(0, len(unit), 1024):
        cosines = unit[start : start + 1024] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        hits.append(labels[cosines.argmax(1)] == labels[start : start + 1024])
    has_other = np.bincount(labels)[labels] >= 2
    return float(np.concatenate(hits)[has_other].mean())
