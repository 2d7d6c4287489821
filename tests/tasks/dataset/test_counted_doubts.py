"""Doubts of a version that were counted: known until something they follow from changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.records import Takedown, TakedownKind, url_key
from storage.tables.parquet import write_table
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.takedowns import record
from tasks.dataset.counted_doubts import doubts_state, keep_doubts, known_doubts
from tests.model.conftest import write_dataset
from tests.tasks.builders import NOW
from tests.tasks.image_shards import link_lines

MODEL = "judge@v1"
FOUND = {
    "method": "mtcnn",
    "model": MODEL,
    "dataset": "faces@v1",
    "faces": 9,
    "people": 3,
    "samples": 8,
    "wrong_person": 3,
    "wrong_person_score": 0.75,
    "same_person": [{"identity": "A", "other": "B", "same_person_score": 0.5}],
    "doubtful": {"wrong_person": 2, "same_person": 1},
    "report": "/work/page.html",
}


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    """A version whose doubts have been counted; what is in the tables of its source does not matter here."""
    lake = Lake(tmp_path / "lake")
    folder = write_dataset(lake, "faces", {"train": 1}, faces_each=2).folder
    manifest = {"published_at": "2026-01-01T00:00:00Z", "method": "mtcnn", "source": "some"}
    lake.write_json(f"{folder}/manifest.json", manifest)
    for path in tables(lake).values():
        put(lake, path)
    write_table(lake, lake.links("some", "lines.parquet"), link_lines(("A", 1, "http://a.example/1", None)))
    found = open_dataset(lake, "faces@v1")
    keep_doubts(found, MODEL, doubts_state(found, {}), FOUND)
    return found


def tables(lake: Lake) -> dict[str, str]:
    return {
        "list": lake.links("some", "lines.parquet"),
        "plan": lake.plan("some"),
        "pictures": f"{lake.images('some', '0000-0000-aaaaaa')}.parquet",
        "faces": f"{lake.faces('mtcnn', 'some', '0000-0000-aaaaaa')}.parquet",
        "scores": f"{lake.cleaned('mtcnn', 'some', 'judge', 'v1')}/faces.parquet",
    }


def put(lake: Lake, path: str) -> None:
    write_table(lake, path, pa.table({"key": [1]}))


def known(version: DatasetVersion, model: str = MODEL, settings: dict[str, Any] | None = None) -> dict[str, Any] | None:
    return known_doubts(version, model, doubts_state(version, settings or {}))


def test_counts_on_unchanged_tables_are_known_most_frequent_reason_first(version: DatasetVersion) -> None:
    assert known(version) == FOUND
    assert list((known(version) or {})["doubtful"]) == ["wrong_person", "same_person"]


@pytest.mark.parametrize("table", ["list", "plan", "pictures", "faces", "scores"])
def test_another_table_makes_them_unknown(version: DatasetVersion, table: str) -> None:
    put(version.lake, tables(version.lake)[table])
    assert known(version) is None


def forget(lake: Lake) -> None:
    record(lake, [Takedown(TakedownKind.URL, url_key("http://a.example/1"), None, NOW, "")])


@pytest.mark.parametrize("change", [forget, lambda lake: lake.write(f"cache/doubts/faces@v1-by-{MODEL}.json", b"{")])
def test_a_takedown_or_damage_makes_them_unknown(version: DatasetVersion, change: Callable[[Lake], None]) -> None:
    change(version.lake)
    assert known(version) is None


def test_another_model_or_other_settings_have_counts_of_their_own(version: DatasetVersion) -> None:
    assert known(version, "judge@v2") is None
    assert known(version, settings={"clean.rounds": 2}) is None
