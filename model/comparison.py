"""Comparison of two model versions: settings and inputs, and a paired comparison on the same test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from model.bootstrap import Difference, paired_difference
from model.claims import too_few, verdict
from model.evaluation_store import judge_version, scored_pairs_of
from storage.datasets import DatasetVersion
from storage.evaluations import Evaluation
from storage.models import ModelVersion


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
    evaluations = [judge_version(model, dataset, device=device) for model in (first, second)]
    before, after = (scored_pairs_of(one) for one in evaluations)
    return Comparison(evaluations[0], evaluations[1], paired_difference(before, after))


def differences(first: ModelVersion, second: ModelVersion) -> dict[str, tuple[Any, Any]]:
    """Fields of configuration and lineage that differ: name -> (first, second)."""
    made_of = [{**one.read_json("config.json"), **one.read_json("lineage.json")} for one in (first, second)]
    fields = sorted({*made_of[0], *made_of[1]})
    pairs = {field: (made_of[0].get(field), made_of[1].get(field)) for field in fields}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
