"""Thresholds and calibration of a model version, chosen on other people than those of the test.

They are stored with the version as `thresholds.json`. Scores are cosine similarities; the squared distance of two unit
embeddings is 2 - 2 * cosine.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from stats.calibration import Calibration, fit_calibration
from stats.roc import Bools, Scores, best_threshold, has_enough_impostors, roc, threshold_at_far

FARS = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Thresholds:
    """Two faces count as the same person if their cosine is at or above one of these thresholds.

    Attributes:
        chosen_on: "val", or "test" if the validation split has no pairs; metrics on "test" are then optimistic.
        num_genuine: number of genuine pairs used.
        num_impostor: number of impostor pairs used.
        accuracy: the threshold of the highest balanced accuracy.
        far: by FAR ("0.01"), the lowest threshold with at most this FAR; None if fewer than 30 false accepts are
            expected.
        calibration: maps cosine to probability, at equal priors.
    """

    chosen_on: str
    num_genuine: int
    num_impostor: int
    accuracy: float
    far: dict[str, float | None]
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Thresholds:
        """Inverse of `to_json`. Keys of newer releases are ignored."""
        known = {name: value[name] for name in cls.__dataclass_fields__}
        curve = Calibration(*(value["calibration"][name] for name in Calibration.__dataclass_fields__))
        return cls(**{**known, "calibration": curve})


def choose_thresholds(scores: Scores, same: Bools, *, chosen_on: str) -> Thresholds:
    """Choose thresholds on pairs [pairs] of both kinds."""
    curve, num_impostor = roc(scores, same), int((~same).sum())
    return Thresholds(
        chosen_on=chosen_on,
        num_genuine=int(same.sum()),
        num_impostor=num_impostor,
        accuracy=best_threshold(curve),
        far={
            f"{far:g}": threshold_at_far(curve, far) if has_enough_impostors(far, num_impostor) else None
            for far in FARS
        },
        calibration=fit_calibration(scores, same),
    )
