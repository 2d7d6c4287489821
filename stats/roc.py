"""ROC curves of scored pairs, and the metrics of a curve.

Scores are cosine similarities; higher means more similar. FAR is the share of impostor pairs accepted, TAR the share of
genuine pairs accepted. All metrics are computed from a curve, so that the definition is the same for all pairs and for
a bootstrap sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = NDArray[np.float32] | NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int64]

# A TAR at a FAR is reported only if at least this many false accepts are expected; fewer are too noisy.
MIN_FALSE_ACCEPTS = 30


@dataclass(frozen=True)
class Scored:
    """Pairs of faces with their scores.

    Attributes:
        scores: [pairs].
        left: [pairs] the label of each pair's first face, from 0.
        right: [pairs] the label of its second face.
    """

    scores: Scores
    left: Labels
    right: Labels

    @property
    def same(self) -> Bools:
        """[pairs] whether a pair shows the same person."""
        return np.asarray(self.left == self.right)


@dataclass(frozen=True)
class Curve:
    """A receiver operating characteristic, or several on the same thresholds, one per row.

    Attributes:
        far: [points] or [curves, points], increasing to 1.
        tar: [points] or [curves, points], increasing to 1.
        thresholds: [points], decreasing; scores at or above are accepted.
    """

    far: Floats
    tar: Floats
    thresholds: Floats

    def at(self, threshold: float) -> tuple[Floats, Floats]:
        """(FAR, TAR) of accepting scores at or above `threshold`, each [] or [curves]."""
        accepted = int(np.searchsorted(-self.thresholds, -threshold, side="right"))
        if not accepted:
            return np.zeros(self.far.shape[:-1]), np.zeros(self.far.shape[:-1])
        return self.far[..., accepted - 1], self.tar[..., accepted - 1]


def roc(scores: Scores, same: Bools) -> Curve:
    """The curve of all pairs, one point per distinct score."""
    order = np.argsort(-scores, kind="stable")
    ordered, genuine = scores[order].astype(np.float64), same[order]
    last_of_equal = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    accepted = np.cumsum(genuine)[last_of_equal]
    false = (last_of_equal + 1) - accepted
    return Curve(false / (~same).sum(), accepted / same.sum(), ordered[last_of_equal])


def thin(curve: Curve, num_points: int) -> Curve:
    """At most `num_points` points of a curve, spaced evenly in TAR, FAR and the logarithm of FAR."""
    third = num_points // 3
    first_far = curve.far[curve.far > 0][0]
    places = np.concatenate(
        [
            np.searchsorted(curve.tar, np.linspace(0, 1, third)),
            np.searchsorted(curve.far, np.linspace(0, 1, third)),
            np.searchsorted(curve.far, np.geomspace(first_far, 1, third)),
        ]
    )
    kept = np.unique(np.append(np.minimum(places, len(curve.far) - 1), len(curve.far) - 1))
    return Curve(curve.far[kept], curve.tar[kept], curve.thresholds[kept])


def auc(curve: Curve) -> Floats:
    """Area under each curve: the probability that a genuine pair scores above an impostor pair, ties counting half."""
    far, tar = _from_zero(curve.far), _from_zero(curve.tar)
    return np.asarray(np.trapezoid(tar, far, axis=-1))


def equal_error_rate(curve: Curve) -> Floats:
    """The rate at which FAR equals 1 - TAR, by linear interpolation between the two nearest points."""
    far, gap = _from_zero(curve.far), _from_zero(curve.far + curve.tar) - 1  # the gap rises from -1 to 1
    after = np.argmax(gap >= 0, axis=-1, keepdims=True)
    near, beyond = (np.take_along_axis(gap, place, -1) for place in (after - 1, after))
    low, high = (np.take_along_axis(far, place, -1) for place in (after - 1, after))
    return np.asarray((low - near / (beyond - near) * (high - low))[..., 0])


def tar_at_far(curve: Curve, far: float) -> Floats:
    """The highest TAR with a FAR of at most `far`."""
    return np.asarray(np.where(curve.far <= far, curve.tar, 0.0).max(-1))


def balanced_accuracy(scores: Scores, same: Bools, threshold: Floats | float) -> float:
    """Mean of the share of genuine pairs accepted and the share of impostor pairs rejected.

    Args:
        threshold: a common threshold, or one per pair, [pairs].
    """
    accepted = scores >= threshold
    return float((accepted[same].mean() + (~accepted[~same]).mean()) / 2)


def has_enough_impostors(far: float, num_impostor: int) -> bool:
    """Whether there are enough impostor pairs for a FAR: at least 30 expected false accepts."""
    return num_impostor * far >= MIN_FALSE_ACCEPTS


def best_threshold(curve: Curve) -> float:
    """The threshold of the highest balanced accuracy, midway to the next lower score."""
    best = int(np.argmax(curve.tar - curve.far))
    below = curve.thresholds[min(best + 1, len(curve.thresholds) - 1)]
    return float((curve.thresholds[best] + below) / 2)


def threshold_at_far(curve: Curve, far: float) -> float:
    """The lowest threshold with a FAR of at most `far`; above every score if there is none."""
    allowed = np.flatnonzero(curve.far <= far)
    return float(curve.thresholds[allowed[-1]]) if len(allowed) else float(np.nextafter(curve.thresholds[0], np.inf))


def cross_validated_thresholds(scores: Scores, same: Bools, fold: Labels) -> Floats:
    """[pairs]: for each pair the best threshold on all other folds, so that no pair affects its own.

    Args:
        fold: [pairs] index of each pair's fold, from 0; without any one fold, both kinds of pairs must remain.
    """
    chosen = [best_threshold(roc(scores[fold != one], same[fold != one])) for one in range(int(fold.max()) + 1)]
    return np.array(chosen)[fold]


def drawn_folds(same: Bools, *, folds: int = 10, seed: int = 0) -> Labels:
    """[pairs]: random stratified folds, at most as many as there are pairs of the rarer kind."""
    folds = max(1, min(folds, int(same.sum()), int((~same).sum())))
    rng = np.random.default_rng(seed)
    fold = np.empty(len(same), np.int64)
    for kind in (same, ~same):
        fold[kind] = rng.permutation(int(kind.sum())) % folds
    return fold


def _from_zero(values: Floats) -> Floats:
    """Prepend the point at which nothing is accepted."""
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), values], axis=-1)
