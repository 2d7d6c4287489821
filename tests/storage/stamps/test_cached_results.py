"""Cached results: what is kept of one state is not taken for another."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.stamps import cached_results
from storage.stamps.cached_results import (
    file_state,
    read_cached,
    read_cached_table,
    state_of,
    table_states,
    write_cached,
    write_cached_table,
)
from storage.tables.parquet import write_table
from storage.text.json_shapes import TEXT
from storage.text.names import NAME

SCHEMA = pa.schema([pa.field("word", pa.string(), nullable=False)])
TABLE = pa.table({"word": ["a", "b"]}, SCHEMA)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for name in ("one", "two"):
        write_table(lake, f"images/some/{name}.parquet", TABLE)
    return lake


def now(lake: Lake) -> str:
    return state_of(table_states(lake, "images/some"))


def test_a_result_is_read_as_long_as_its_inputs_are_unchanged(lake: Lake) -> None:
    write_cached(lake, "step/some", now(lake), {"links": 3, "name": "Zoë"})
    write_cached_table(lake, "step/some", now(lake), TABLE)
    lake.write("images/some/one.tar", b"no table")
    assert read_cached(lake, "step/some", now(lake), {}) == {"links": 3, "name": "Zoë"}
    assert read_cached_table(lake, "step/some", now(lake), SCHEMA) == TABLE


def written_anew(lake: Lake) -> None:
    os.utime(Path(lake.root) / "images/some/one.parquet", ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        written_anew,
        lambda lake: lake.remove("images/some/two.parquet"),
        lambda lake: write_table(lake, "images/some/three.parquet", TABLE),
        lambda lake: lake.move("images/some/two.parquet", "images/some/three.parquet"),
    ],
)
def test_after_any_change_of_an_input_it_is_not(lake: Lake, change) -> None:
    write_cached(lake, "step/some", now(lake), {})
    write_cached_table(lake, "step/some", now(lake), TABLE)
    change(lake)
    assert read_cached(lake, "step/some", now(lake), {}) is None
    assert read_cached_table(lake, "step/some", now(lake), SCHEMA) is None


def test_other_code_does_not_use_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cached(lake, "step/some", now(lake), {})
    monkeypatch.setattr(cached_results, "code_version", lambda: {"sources": "other"})
    assert read_cached(lake, "step/some", now(lake), {}) is None


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"state": 1}', b"\xff", b'{"state": "0", "result": [1]}'])
def test_a_damaged_one_is_as_none(lake: Lake, damage: bytes) -> None:
    for ending in ("json", "parquet"):
        lake.write(f"cache/step/some.{ending}", damage)
    assert read_cached(lake, "step/some", "0", {}) is None
    assert read_cached_table(lake, "step/some", "0", SCHEMA) is None


def test_a_result_of_another_form_is_as_none(lake: Lake) -> None:
    write_cached(lake, "step/some", now(lake), {"version": "../../etc"})
    assert read_cached(lake, "step/some", now(lake), {"version": TEXT})
    assert read_cached(lake, "step/some", now(lake), {"version": NAME}) is None


def test_a_table_of_another_form_is_as_none(lake: Lake) -> None:
    write_cached_table(lake, "step/some", now(lake), pa.table({"word": [1]}))
    assert read_cached_table(lake, "step/some", now(lake), SCHEMA.append(pa.field("num", pa.int64(), False))) is None


def test_where_there_is_nothing_nothing_is_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "none")
    assert read_cached(lake, "step/some", now(lake), {}) is None
    assert read_cached_table(lake, "step/some", now(lake), SCHEMA) is None
    assert file_state(lake, "plan/some.parquet") is None
    assert not (tmp_path / "none").exists()
