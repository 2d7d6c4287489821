from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import ChangedMeanwhile
from storage.files.lake import Lake
from storage.records import SCORES
from storage.versions.evaluations import evaluations, find_evaluation, write_evaluation
from storage.versions.models import ModelVersion, write_model
from tests.vanishing import removed_once_listed

SCORED = pa.Table.from_arrays(
    [pa.array(column, field.type) for column, field in zip(([0], [1], [0], [0], [0.5]), SCORES, strict=True)],
    schema=SCORES,
)


def model(folder: Path) -> ModelVersion:
    return write_model(Lake(folder), "small", "v1", {}, {"trained_at": "2026"})


def test_an_evaluation_gives_back_its_facts_and_scores(tmp_path):
    version = model(tmp_path)
    written = write_evaluation(version, "faces@v1", "stamp", {"auc": 0.9}, SCORED)
    found = find_evaluation(version, "faces@v1", "stamp")
    assert found.facts == written.facts == {"auc": 0.9, "model": "small@v1", "test": "faces@v1", "stamp": "stamp"}
    assert found.scores().to_pylist() == SCORED.to_pylist()
    assert [one.facts["test"] for one in evaluations(version)] == ["faces@v1"]


def test_an_evaluation_made_from_something_else_is_not_found_and_is_replaced(tmp_path):
    version = model(tmp_path)
    write_evaluation(version, "faces@v1", "old", {"auc": 0.9}, SCORED)
    assert find_evaluation(version, "faces@v1", "new") is None
    assert find_evaluation(version, "faces@v2", "old") is None
    write_evaluation(version, "faces@v1", "new", {"auc": 0.8}, SCORED)
    assert [one.facts["auc"] for one in evaluations(version)] == [0.8]


def test_scores_alone_are_no_evaluation_and_the_version_stays_as_it_was(tmp_path):
    version = model(tmp_path)
    before = version.lake.names(version.folder)
    write_evaluation(version, "faces@v1", "stamp", {}, SCORED)
    assert version.lake.names(version.folder) == before
    version.lake.remove("evaluations/small/v1/faces@v1.json")
    assert find_evaluation(version, "faces@v1", "stamp") is None
    assert evaluations(version) == []


def test_an_evaluation_that_is_pruned_while_they_are_read_is_left_out(tmp_path):
    version = model(tmp_path)
    for test in ("faces@v1", "faces@v2"):
        write_evaluation(version, test, "stamp", {}, SCORED)
    with removed_once_listed("evaluations/small/v1/faces@v1.json"):
        assert [one.facts["test"] for one in evaluations(version)] == ["faces@v2"]


def test_the_scores_of_another_evaluation_are_not_taken_for_those_of_this_one(tmp_path):
    version = model(tmp_path)
    old = write_evaluation(version, "faces@v1", "old", {"auc": 0.9}, SCORED)
    facts = version.lake.read("evaluations/small/v1/faces@v1.json")
    write_evaluation(version, "faces@v1", "new", {"auc": 0.8}, SCORED.slice(0, 0))
    with pytest.raises(ChangedMeanwhile, match=r"faces@v1.parquet: scores were replaced by another run"):
        old.scores()
    version.lake.write("evaluations/small/v1/faces@v1.json", facts)  # as a kill between the two files leaves them
    assert find_evaluation(version, "faces@v1", "old") is None
