"""A version that was removed by hand is missed by whatever names it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.records import FACE_VERDICTS, SAME_PEOPLE, SCORES
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import record_alias
from storage.versions.evaluations import write_evaluation
from storage.versions.models import ModelVersion, write_model
from storage.versions.tags import record_tag
from tasks.label_noise.score_table import Cleaned, write_cleaned
from tasks.maintenance.fsck.findings import Finding, Kind, Remedy, advice, remedy
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.fsck.repair import repair

DATASET = "faces@v1"
EVALUATIONS = {f"evaluations/embedder/new/{test}" for test in (DATASET, "lfw@0123456789abcdef")}
_METRICS = b'{"trained": {}, "untrained": {}}'


def lake_of(folder: Any) -> Lake:
    """A lake in which everything names a model version or a dataset version."""
    lake = Lake(folder / "lake")
    models = [
        write_model(lake, "embedder", version, {"metrics.json": _METRICS}, {"dataset": DATASET, "trained_at": version})
        for version in ("old", "new")
    ]
    lake.write_json("datasets/faces/v1/manifest.json", {"published_at": "2026", "cleaning": {"model": "embedder@new"}})
    for alias, version in (("champion", "old"), ("champion", "new"), ("candidate", "new")):
        record_alias(lake, "embedder", AliasEvent(alias, "promote", version, None, "ada"))
    for tag, action in (("golden", "tag"), ("silver", "tag"), ("silver", "untag")):
        record_tag(lake, "faces", AliasEvent(tag, action, "v1", None, "ada"))
    write_evaluation(models[1], DATASET, "stamp", {"auc": 0.9}, pa.Table.from_pylist([], schema=SCORES))
    write_evaluation(models[1], "lfw@0123456789abcdef", "stamp", {"num_photos": 4}, pa.Table.from_pylist([], SCORES))
    cell = {"method": "bbox", "margin": 1.0, "own": {}, "model": "embedder@new", "dataset": DATASET}
    lake.write_json(lake.experiment("0123456789abcdef"), {"cells": [cell]})
    nothing = Cleaned(FACE_VERDICTS.empty_table(), SAME_PEOPLE.empty_table())
    write_cleaned(lake, lake.cleaned("bbox", "vggface1", "embedder", "new"), nothing, "stamp")
    write_cleaned(lake, lake.cleaned("bbox", "vggface1", "histograms", "0123456789abcdef"), nothing, "stamp")
    return lake


def dangling(lake: Lake) -> dict[str, Finding]:
    """What dangles, by path."""
    return {one.path: one for one in inspect(jobs(lake)) if one.kind is Kind.DANGLING}


GONE: dict[str, tuple[Callable[[Lake], None], set[str]]] = {
    "nothing": (lambda lake: None, set()),
    "a version that bears no alias": (lambda lake: lake.remove("models/embedder/old"), set()),
    "the champion": (
        lambda lake: lake.remove("models/embedder/new"),
        {
            *EVALUATIONS, "models/embedder/aliases", "experiments/0123456789abcdef.json",
            "cleaned/bbox/vggface1/embedder/new", "datasets/faces/v1",
        },
    ),
    "the manifest of the champion": (
        lambda lake: lake.remove("models/embedder/new/manifest.json"),
        {
            *EVALUATIONS, "models/embedder/aliases", "experiments/0123456789abcdef.json",
            "cleaned/bbox/vggface1/embedder/new", "datasets/faces/v1",
        },
    ),
    "the dataset": (
        lambda lake: lake.remove("datasets/faces/v1"),
        {
            "datasets/faces/aliases",
            "models/embedder/old", "models/embedder/new", f"evaluations/embedder/new/{DATASET}",
            "experiments/0123456789abcdef.json",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GONE)
def test_what_names_a_version_that_was_removed_is_found(tmp_path, name) -> None:
    remove, expected = GONE[name]
    lake = lake_of(tmp_path)
    remove(lake)
    found = dangling(lake)

    assert set(found) == expected
    for one in found.values():
        assert "not exist" in one.detail
        assert (remedy(one), bool(advice(one))) == (Remedy.CHOOSE, True)


def test_a_repair_moves_nothing_that_names_a_version_and_says_what_is_left(tmp_path) -> None:
    lake = lake_of(tmp_path)
    lake.remove("models/embedder/new")
    findings = list(dangling(lake).values())
    done = repair(lake, findings, datetime.now(UTC))
    assert (done.moved, len(done.left)) == ([], len(findings))

    record_alias(lake, "embedder", AliasEvent("champion", "promote", "old", None, "ada"))
    record_alias(lake, "embedder", AliasEvent("candidate", "train", "old", None, "ada"))
    assert "models/embedder/aliases" not in dangling(lake)


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    "change", [{"version": "../../x"}, {"alias": "king"}, {"at": "today"}, {"by": None}, {"forced": 3}]
)
def test_a_damaged_event_is_found_and_put_aside_alone(tmp_path, change) -> None:
    lake = lake_of(tmp_path)
    file = lake.names("models/embedder/aliases")[0]
    path = f"models/embedder/aliases/{file}"
    lake.write_json(path, {**lake.read_json(path), **change})
    found = [one for one in inspect(jobs(lake)) if one.path == path]

    assert [one.kind for one in found] == [Kind.UNREADABLE]
    assert repair(lake, found, datetime.now(UTC)).moved == [path]
    assert ModelVersion(lake, "embedder", "new").name == "embedder"


def test_a_damaged_event_of_a_tag_is_found_and_put_aside_alone(tmp_path) -> None:
    lake = lake_of(tmp_path)
    path = f"datasets/faces/aliases/{lake.names('datasets/faces/aliases')[0]}"
    lake.write_json(path, {**lake.read_json(path), "action": "promote"})
    found = [one for one in inspect(jobs(lake)) if one.path == path]

    assert [(one.kind, advice(one)) for one in found] == [(Kind.UNREADABLE, "datasets tag sets the tag again")]
    assert repair(lake, found, datetime.now(UTC)).moved == [path]
