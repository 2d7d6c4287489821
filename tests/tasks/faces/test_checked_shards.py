"""Shards known to be up to date: after any change of their inputs they are compared again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.records import Takedown, TakedownKind, url_key
from storage.tables.parquet import write_table
from storage.versions.takedowns import record
from tasks.faces.checked_shards import CheckedShards, checked_shards
from tasks.faces.detectors import DetectorSettings
from tasks.faces.methods import CropSettings
from tests.tasks.builders import NOW
from tests.tasks.image_shards import link_lines

STEMS = ["0000-0000-aaaaaa", "0000-0001-aaaaaa", "0001-0000-aaaaaa"]
METHODS = ["bbox", "mtcnn"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three shards that were up to date; what is in their tables does not matter here."""
    lake = Lake(tmp_path / "lake")
    for stem in STEMS:
        put(lake, f"{lake.images('some', stem)}.parquet")
        put(lake, lake.detections("some", stem))
        for method in METHODS:
            put(lake, f"{lake.faces(method, 'some', stem)}.parquet")
    write_table(lake, lake.links("some", "lines.parquet"), link_lines(("A", 1, "http://a.example/1", None)))
    put(lake, lake.plan("some"))
    now(lake).keep(lake, STEMS)
    return lake


def put(lake: Lake, path: str) -> None:
    write_table(lake, path, pa.table({"key": [1]}))


def now(lake: Lake, methods: list[str] = METHODS, **settings: float) -> CheckedShards:
    return checked_shards(lake, "some", methods, DetectorSettings(), CropSettings(**settings))  # type: ignore[arg-type]


def forget(lake: Lake) -> None:
    record(lake, [Takedown(TakedownKind.URL, url_key("http://a.example/1"), None, NOW, "")])


def test_unchanged_shards_are_known(lake: Lake) -> None:
    assert now(lake).unchecked() == []
    assert now(lake, METHODS[::-1]).unchecked() == []


@pytest.mark.parametrize("kind", ["images/some", "detections/some", "faces/bbox/some", "faces/mtcnn/some"])
def test_a_shard_with_another_table_is_compared_again(lake: Lake, kind: str) -> None:
    put(lake, f"{kind}/{STEMS[1]}.parquet")
    assert now(lake).unchecked() == STEMS[1:2]
    if not kind.startswith("images"):
        lake.remove(f"{kind}/{STEMS[2]}.parquet")
        assert now(lake).unchecked() == STEMS[1:]


def test_a_new_shard_is_compared_and_a_removed_one_is_forgotten(lake: Lake) -> None:
    put(lake, f"{lake.images('some', '0002-0000-bbbbbb')}.parquet")
    lake.remove(f"{lake.images('some', STEMS[0])}.parquet")
    shards = now(lake)
    assert shards.unchecked() == ["0002-0000-bbbbbb"]
    shards.keep(lake, [])
    assert now(lake).known.keys() == set(STEMS[1:])


CHANGES = {
    "a takedown": forget,
    "another list": lambda lake: put(lake, lake.links("some", "lines.parquet")),
    "another plan": lambda lake: put(lake, lake.plan("some")),
    "another recipe": lambda lake: lake.write_json(lake.links("some", "recipe.json"), {}),
    "damage": lambda lake: lake.write("cache/crop/some-by-bbox-mtcnn.json", b"{"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_all_are_compared_again_after(lake: Lake, change: str) -> None:
    CHANGES[change](lake)
    assert now(lake).unchecked() == STEMS


def test_other_methods_and_settings_are_known_apart(lake: Lake) -> None:
    assert now(lake, ["bbox"]).unchecked() == STEMS
    assert now(lake, min_face_px=33).unchecked() == STEMS
    now(lake, ["bbox"]).keep(lake, STEMS)
    assert now(lake).unchecked() == now(lake, ["bbox"]).unchecked() == []


def test_what_changes_while_it_is_compared_is_not_known(lake: Lake) -> None:
    put(lake, lake.detections("some", STEMS[0]))
    shards = now(lake)
    put(lake, lake.detections("some", STEMS[0]))
    shards.keep(lake, STEMS[:1])
    assert now(lake).unchecked() == STEMS[:1]
