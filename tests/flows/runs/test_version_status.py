"""What tells the versions of a lake apart, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.runs.version_status import dataset_status, differing, models_status
from storage.files.lake import Lake
from storage.versions.aliases import nominate
from storage.versions.datasets import open_dataset, versions
from storage.versions.models import write_model
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tasks.maintenance.shared_files import used_by
from tests.tasks.made_lake import SOURCE, make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two versions of one dataset, and two models trained on the older one."""
    lake = make_lake(tmp_path_factory.mktemp("lake"))
    for rules in (SelectRules(min_face_px=40), SelectRules()):
        publish_source(lake, Request("faces-mtcnn", SOURCE, "mtcnn", rules))
    older = versions(lake, "faces-mtcnn")[0]
    for number, margin in enumerate((1.0, 2.0)):
        facts = {"dataset": str(older), "trained_at": f"2026-11-2{number}", "config": {"name": "m", "margin": margin}}
        write_model(lake, "embedder", f"v{number}", {"config.json": b"{}"}, facts)
    write_model(lake, "lost", "v0", {}, {"dataset": "faces-mtcnn@gone", "config": "of another form"})
    nominate(lake, "embedder", "v1", "me")
    return lake


def told(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_only_settings_that_differ_between_the_versions_of_a_dataset_are_listed(lake: Lake) -> None:
    rows = dataset_status(lake)
    assert told(rows, "settings", "tags") == [
        ({"select.min_face_px": 40}, []),
        ({"select.min_face_px": 100}, ["latest"]),
    ]
    assert [row["models"] for row in rows] == [
        [{"model": "embedder@v0", "aliases": []}, {"model": "embedder@v1", "aliases": ["candidate"]}],
        [],
    ]


def test_a_version_has_the_bytes_of_its_folder_and_of_what_it_shares(lake: Lake) -> None:
    for row in dataset_status(lake):
        version = open_dataset(lake, f"{row['dataset']}@{row['version']}")
        own = [path for path in Path(row["folder"]).rglob("*") if path.is_file()]
        stems = [Path(lake.full(path)) for path in used_by(version)]
        shared = [path for stem in stems for path in stem.parent.glob(f"{stem.name}.*")]
        assert (len(own), len(shared)) == (3, 2 * len(version.shards()) + 1)
        assert row["bytes"] == sum(path.stat().st_size for path in own + shared)


def test_a_model_names_its_dataset_and_whether_that_is_in_the_lake(lake: Lake) -> None:
    rows = models_status(lake)
    assert told(rows, "model", "settings", "aliases", "is_newest", "dataset_is_here") == [
        ("embedder", {"margin": 1.0}, [], False, True),
        ("embedder", {"margin": 2.0}, ["candidate"], True, True),
        ("lost", {}, [], True, False),
    ]


def test_the_status_is_json(lake: Lake) -> None:
    assert json.loads(json.dumps([dataset_status(lake), models_status(lake)]))


def test_settings_differ_if_one_lacks_them() -> None:
    assert differing([{"a": 1, "b": [1]}, {"b": [1], "c": None}]) == ["a"]
    assert differing([{"a": 1}]) == differing([]) == []
