"""The metrics common to all verification tests, with intervals and the data of their plots."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.verification.thresholds import FARS, Thresholds
from stats.bootstrap import Interval, Weights, grid, interval, resampled
from stats.roc import (
    Curve,
    Floats,
    Scored,
    auc,
    balanced_accuracy,
    equal_error_rate,
    has_enough_impostors,
    roc,
    tar_at_far,
    thin,
)

_ROC_POINTS = 120
_DISTANCE_BINS = 80


@dataclass(frozen=True)
class OperatingPoint:
    """FAR and TAR on this test at a threshold chosen elsewhere, with 95% intervals."""

    chosen_for: str
    threshold: float
    far: float
    far_interval: Interval
    tar: float
    tar_interval: Interval


@dataclass(frozen=True)
class RocLine:
    """The thinned ROC curve, with the highest TAR at each FAR; `tar_low` and `tar_high` are its 95% interval."""

    far: list[float]
    tar: list[float]
    threshold: list[float]
    tar_low: list[float]
    tar_high: list[float]


@dataclass(frozen=True)
class Distances:
    """Histograms of squared distances (2 - 2 * cosine) per kind of pair, in equal bins from 0 to 4."""

    genuine: list[float]
    impostor: list[float]


@dataclass(frozen=True)
class Verification:
    """Verification metrics of scored pairs, with 95% intervals by bootstrap over identities.

    `tar_at_far` and its intervals are None for a FAR of fewer than 30 expected false accepts.
    """

    num_genuine: int
    num_impostor: int
    auc: float
    auc_interval: Interval
    eer: float
    eer_interval: Interval
    tar_at_far: dict[str, float | None]
    tar_at_far_interval: dict[str, Interval | None]
    operating_points: list[OperatingPoint]
    roc: RocLine
    distances: Distances


def verify(pairs: Scored, thresholds: Thresholds | None, weights: Weights) -> Verification:
    """Compute the metrics of `pairs`.

    Args:
        thresholds: thresholds chosen on other people, or None.
        weights: [identities, rounds] from `bootstrap.identity_weights`.
    """
    same = pairs.same
    curve, num_impostor = roc(pairs.scores, same), int((~same).sum())
    chosen = _chosen(thresholds)
    rounds = resampled(pairs, grid(curve, *chosen.values()), weights)
    measurable = [far for far in FARS if has_enough_impostors(far, num_impostor)]
    return Verification(
        num_genuine=int(same.sum()),
        num_impostor=num_impostor,
        auc=float(auc(curve)),
        auc_interval=interval(auc(rounds)),
        eer=float(equal_error_rate(curve)),
        eer_interval=interval(equal_error_rate(rounds)),
        tar_at_far={f"{far:g}": float(tar_at_far(curve, far)) if far in measurable else None for far in FARS},
        tar_at_far_interval={
            f"{far:g}": interval(tar_at_far(rounds, far)) if far in measurable else None for far in FARS
        },
        operating_points=[_operating_point(curve, rounds, words, at) for words, at in chosen.items()],
        roc=_line(curve, rounds),
        distances=_distances(pairs),
    )


def accuracy(pairs: Scored, thresholds: Floats | float, weights: Weights) -> tuple[float, Interval]:
    """Balanced accuracy and its interval, for one threshold per pair, [pairs], or a common one."""
    over = Scored(pairs.scores - np.asarray(thresholds, np.float64), pairs.left, pairs.right)
    rounds = resampled(over, np.array([0.0, -np.inf]), weights)
    far, tar = rounds.at(0.0)
    return balanced_accuracy(pairs.scores, pairs.same, thresholds), interval((tar + 1 - far) / 2)


def fields_of(figures: Verification) -> dict[str, Any]:
    """The fields by name, for a report that adds its own."""
    return {field.name: getattr(figures, field.name) for field in dataclasses.fields(figures)}


def _chosen(thresholds: Thresholds | None) -> dict[str, float]:
    if thresholds is None:
        return {}
    by_far = {f"FAR {far}": at for far, at in thresholds.far.items() if at is not None}
    return {"accuracy": thresholds.accuracy, **by_far}


def _operating_point(curve: Curve, rounds: Curve, chosen_for: str, threshold: float) -> OperatingPoint:
    (far, tar), (fars, tars) = curve.at(threshold), rounds.at(threshold)
    return OperatingPoint(chosen_for, threshold, float(far), interval(fars), float(tar), interval(tars))


def _line(curve: Curve, rounds: Curve) -> RocLine:
    shown = thin(curve, _ROC_POINTS)
    highest = np.append(np.diff(shown.far) > 0, True)
    far, tar, threshold = (part[highest] for part in (shown.far, shown.tar, shown.thresholds))
    tars = np.stack([np.interp(far, *one) for one in zip(rounds.far, rounds.tar, strict=True)])
    low, high = np.quantile(tars, [0.025, 0.975], axis=0)
    return RocLine(*([round(float(value), 6) for value in part] for part in (far, tar, threshold, low, high)))


def _distances(pairs: Scored) -> Distances:
    distances = 2 - 2 * pairs.scores.astype(np.float64)
    shares = []
    for kind in (pairs.same, ~pairs.same):
        counts, _ = np.histogram(np.clip(distances[kind], 0, 4), _DISTANCE_BINS, (0, 4))
        shares.append([round(float(share), 6) for share in counts / kind.sum()])
    return Distances(*shares)
