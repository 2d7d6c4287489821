"""Comparison of two model versions: settings and inputs, and a paired comparison on the same test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.compare.evaluation_store import evaluate_version, scored_pairs_of
from model.verification.claims import too_few, verdict
from stats.bootstrap import Interval, grid, identity_weights, interval, resampled
from stats.roc import Scored, auc, roc
from storage.errors import UsageError
from storage.versions.datasets import DatasetVersion
from storage.versions.evaluations import Evaluation
from storage.versions.models import ModelVersion


@dataclass(frozen=True)
class Difference:
    """The metric of a second model minus that of the first on the same pairs, with a 95% interval."""

    first: float
    second: float
    difference: float
    interval: Interval


@dataclass(frozen=True)
class Comparison:
    """Two versions on one test: their evaluations, and the AUC of the second minus that of the first."""

    first: Evaluation
    second: Evaluation
    auc: Difference

    @property
    def num_people(self) -> int:
        """The number of people in the test."""
        return int(self.second.facts["num_identities"])

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "test": self.second.facts["test"],
            "first": self.first.facts["model"],
            "second": self.second.facts["model"],
            "num_people": self.num_people,
            "auc": {**asdict(self.auc), "interval": None if too_few(self.num_people) else self.auc.interval},
            "verdict": verdict(self.auc.interval, self.num_people),
            "accuracy": [self.first.facts["accuracy"], self.second.facts["accuracy"]],
        }


def compare_versions(first: ModelVersion, second: ModelVersion, dataset: DatasetVersion, *, device: str) -> Comparison:
    """Evaluate both on the test split of a dataset version, unless already stored, and compare them pair by pair."""
    evaluations = [evaluate_version(model, dataset, device=device) for model in (first, second)]
    before, after = (scored_pairs_of(one) for one in evaluations)
    return Comparison(evaluations[0], evaluations[1], paired_difference(before, after))


def paired_difference(first: Scored, second: Scored, *, seed: int = 0) -> Difference:
    """The AUC of `second` minus that of `first`, resampled with the same people for both.

    The AUC is compared because it needs no threshold: an accuracy also depends on how well each model's validation
    people represent the test people. The AUC uses every pair, so its interval is narrower too.

    Raises:
        UsageError: the pairs differ.
    """
    if not (np.array_equal(first.left, second.left) and np.array_equal(first.right, second.right)):
        raise UsageError(
            f"two models must be compared on the same pairs, and these {len(first.left):,} and {len(second.left):,} "
            "pairs differ: evaluate both on one test"
        )
    weights = identity_weights(int(max(first.left.max(), first.right.max())) + 1, seed=seed)
    curves = [roc(one.scores, one.same) for one in (first, second)]
    before, after = (
        auc(resampled(one, grid(curve), weights)) for one, curve in zip((first, second), curves, strict=True)
    )
    values = [float(auc(curve)) for curve in curves]
    return Difference(values[0], values[1], values[1] - values[0], interval(after - before))


def differences(first: ModelVersion, second: ModelVersion) -> dict[str, tuple[Any, Any]]:
    """Fields of configuration and lineage that differ: name -> (first, second)."""
    made_of = [{**one.read_json("config.json"), **one.read_json("lineage.json")} for one in (first, second)]
    fields = sorted({*made_of[0], *made_of[1]})
    pairs = {field: (made_of[0].get(field), made_of[1].get(field)) for field in fields}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
