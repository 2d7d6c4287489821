"""Merged tables: what is read through them is what the small tables hold, whatever happens to either."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.tables import merged_tables
from storage.tables.merged_tables import Marks, merge_tables, read_table_marks, read_tables
from storage.tables.parquet import read_settings, read_stamp, write_table

FOLDER = "faces/mtcnn/some"
SCHEMA = pa.schema(
    [pa.field("key", pa.int64(), nullable=False), pa.field("word", pa.dictionary(pa.int32(), pa.string()))]
)


def put(lake: Lake, name: str, first: int, num: int = 3, **marks: object) -> None:
    rows = {"key": list(range(first, first + num)), "word": [f"{name} {at % 2}" for at in range(num)]}
    write_table(lake, f"{FOLDER}/{name}.parquet", pa.table(rows, SCHEMA), **marks)  # type: ignore[arg-type]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Five small tables; the third is empty."""
    lake = Lake(tmp_path / "lake")
    for at, name in enumerate("abcde"):
        put(
            lake,
            name,
            10 * at,
            0 if name == "c" else 3,
            stamp=f"made of {name}",
            settings={"px": at} if at % 2 else None,
        )
    return lake


def read(lake: Lake, names: str, columns: list[str] | None = None) -> list[tuple[str, list[dict[str, object]]]]:
    """The rows of each table."""
    found = []
    for rows in read_tables(lake, FOLDER, list(names), SCHEMA, columns):
        first = 0
        for name, num in rows.of:
            found.append((name, rows.table.slice(first, num).to_pylist()))
            first += num
        assert first == len(rows.table)
    return found


def merged(lake: Lake) -> list[str]:
    return lake.names(lake.merged(FOLDER))


def num_opened(lake: Lake, names: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many tables a reading opens for their rows."""
    opened: list[str] = []
    real = Lake.open

    def opening(self: Lake, path: str) -> IO[bytes]:
        opened.append(path)
        return real(self, path)

    monkeypatch.setattr(Lake, "open", opening)
    read(lake, names)
    monkeypatch.undo()
    return len({path for path in opened if path.startswith(FOLDER)})


@pytest.mark.parametrize("names", ["abcde", "eca", "bd", "cde", "a", ""])
@pytest.mark.parametrize("columns", [None, ["word"]])
def test_merged_or_not_the_rows_are_those_of_the_tables_in_the_order_asked_for(
    lake: Lake, names: str, columns: list[str] | None
) -> None:
    before = read(lake, names, columns)
    assert [name for name, _ in before] == list(names)
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 1
    assert read(lake, names, columns) == before


def test_tables_are_merged_once_they_are_many_and_opened_no_more(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (merge_tables(lake, FOLDER, SCHEMA, at_least=6), merged(lake)) == (0, [])
    assert num_opened(lake, "abcde", monkeypatch) == 5
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=5) == 1
    assert num_opened(lake, "abcde", monkeypatch) == 0
    put(lake, "f", 50)
    assert num_opened(lake, "abcdef", monkeypatch) == 1
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 0


def test_a_merged_table_that_covers_few_is_merged_again_with_the_next_ones(lake: Lake) -> None:
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    (first,) = merged(lake)
    put(lake, "f", 50)
    put(lake, "g", 60)
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    (second,) = merged(lake)
    assert second != first
    assert [name for name, _ in read(lake, "abcdefg")] == list("abcdefg")


def test_full_merged_tables_stay_as_they_are(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.tables.merged_tables._MOST", 2)
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 3
    before = merged(lake)
    put(lake, "f", 50)
    put(lake, "g", 60)
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 1
    assert len(set(merged(lake)) - set(before)) == 1
    assert [name for name, _ in read(lake, "abcdefg")] == list("abcdefg")


def test_of_what_two_runs_merged_at_the_same_time_one_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.tables.merged_tables._MOST", 8)
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    (first,) = merged(lake)
    kept = lake.read(f"{lake.merged(FOLDER)}/{first}")
    lake.remove(lake.merged(FOLDER))
    put(lake, "f", 50)
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    (second,) = merged(lake)
    lake.write(f"{lake.merged(FOLDER)}/{first}", kept)
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=1) == 0
    for at, name in enumerate("gh"):
        put(lake, name, 60 + 10 * at)
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 1
    assert first not in merged(lake)
    assert second in merged(lake)
    assert [name for name, _ in read(lake, "abcdefgh")] == list("abcdefgh")


def test_a_table_that_is_written_anew_is_read_itself(lake: Lake) -> None:
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    before = dict(read(lake, "abcde"))
    path = Path(lake.full(f"{FOLDER}/b.parquet"))
    time = path.stat().st_mtime_ns
    put(lake, "b", 70, stamp="made anew")
    os.utime(path, ns=(time + 1, time + 1))
    assert dict(read(lake, "abcde")) == before | {"b": [{"key": 70 + at, "word": f"b {at % 2}"} for at in range(3)]}
    assert read_table_marks(lake, FOLDER, "b")["b"].stamp == "made anew"


def test_a_table_that_is_gone_is_not_read_from_its_merged_rows(lake: Lake) -> None:
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    lake.remove(f"{FOLDER}/b.parquet")
    assert list(read_table_marks(lake, FOLDER, "abcde")) == list("acde")
    assert [name for name, _ in read(lake, "acde")] == list("acde")


@pytest.mark.parametrize("damage", [b"", b"PAR1 no table", None])
def test_a_merged_table_that_is_damaged_or_gone_is_done_without(lake: Lake, damage: bytes | None) -> None:
    before = read(lake, "abcde")
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    path = Path(lake.full(f"{lake.merged(FOLDER)}/{merged(lake)[0]}"))
    path.unlink() if damage is None else path.write_bytes(damage)
    assert read(lake, "abcde") == before
    assert len(read_table_marks(lake, FOLDER, "abcde")) == 5
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 1
    assert (len(merged(lake)), read(lake, "abcde")) == (1, before)


def test_a_merging_that_was_killed_before_it_removed_the_old_table_leaves_both_readable(lake: Lake) -> None:
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    (old,) = merged(lake)
    kept = lake.read(f"{lake.merged(FOLDER)}/{old}")
    for at, name in enumerate("fg"):
        put(lake, name, 50 + 10 * at)
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    lake.write(f"{lake.merged(FOLDER)}/{old}", kept)
    assert [name for name, _ in read(lake, "abcdefg")] == list("abcdefg")
    assert len(merged(lake)) == 2


def test_marks_are_those_of_the_tables(lake: Lake) -> None:
    single = {
        name: Marks(read_stamp(lake, f"{FOLDER}/{name}.parquet"), read_settings(lake, f"{FOLDER}/{name}.parquet"))
        for name in "abcde"
    }
    assert read_table_marks(lake, FOLDER, "abcdez") == single
    merge_tables(lake, FOLDER, SCHEMA, at_least=2)
    assert read_table_marks(lake, FOLDER, "abcdez") == single


@pytest.mark.parametrize("lake_", ["local", "memory"])
def test_a_table_that_another_run_removes_once_it_was_listed_is_left_out(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, lake_: str
) -> None:
    if lake_ == "memory":
        lake = Lake(f"memory://{uuid.uuid4().hex}")
        for at, name in enumerate("abcde"):
            put(lake, name, 10 * at)
    before, listed = read(lake, "abcde"), merged_tables._states
    lake.remove_file(f"{FOLDER}/b.parquet")
    left = [one for one in before if one[0] != "b"]
    assert read(lake, "abcde") == left

    def removing(lake: Lake, folder: str) -> dict[str, str]:
        found = listed(lake, folder)
        lake.remove_file(f"{FOLDER}/d.parquet")
        return found

    monkeypatch.setattr(merged_tables, "_states", removing)
    assert merge_tables(lake, FOLDER, SCHEMA, at_least=2) == 1
    assert read(lake, "abcde") == [one for one in left if one[0] != "d"]
