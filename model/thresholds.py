"""What a model version says about new pairs: thresholds and a calibration, chosen on people it was not judged by.

They are kept with the version as `thresholds.json`. Scores are cosines; the squared distance of two unit embeddings
is 2 - 2 * cosine.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from model.calibration import Calibration, fit_calibration
from model.verification import Bools, Scores, best_threshold, can_tell, roc, threshold_at_far

FARS = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Thresholds:
    """Accept two faces as one person where their cosine is at or above one of these.

    Attributes:
        chosen_on: "val", or "test" where the validation split has no pairs; figures at "test" would flatter.
        num_genuine: pairs they were chosen on.
        num_impostor: likewise.
        accuracy: the threshold of the highest balanced accuracy.
        far: by FAR ("0.01"), the lowest threshold that keeps it; None where fewer than 30 false accepts are expected.
        calibration: from cosine to probability, at equal priors.
    """

    chosen_on: str
    num_genuine: int
    num_impostor: int
    accuracy: float
    far: dict[str, float | None]
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Thresholds:
        """Back from `to_json`."""
        told = {name: value[name] for name in cls.__dataclass_fields__}
        curve = Calibration(*(value["calibration"][name] for name in Calibration.__dataclass_fields__))
        return cls(**{**told, "calibration": curve})


def choose_thresholds(scores: Scores, same: Bools, *, chosen_on: str) -> Thresholds:
    """Choose on pairs [pairs] that hold both kinds."""
    curve, num_impostor = roc(scores, same), int((~same).sum())
    return Thresholds(
        chosen_on=chosen_on,
        num_genuine=int(same.sum()),
        num_impostor=num_impostor,
        accuracy=best_threshold(curve),
        far={f"{far:g}": threshold_at_far(curve, far) if can_tell(far, num_impostor) else None for far in FARS},
        calibration=fit_calibration(scores, same),
    )
