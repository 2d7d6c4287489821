from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.errors import ChangedMeanwhile, LakeError
from storage.files.lake import Lake
from storage.files.object_requests import EndFirst
from storage.records import LINK_LINES, Reason
from storage.tables.parquet import (
    read_blocks,
    read_settings,
    read_stamp,
    read_table,
    rows_to_table,
    stamp,
    write_blocks,
    write_table,
)
from tests.tasks.image_shards import link_lines

PATH = "plan/made.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def people(*names: str | None) -> pa.Table:
    return pa.table({"name": pa.array(names, pa.string()), "row": np.arange(len(names))})


def test_a_table_is_read_back_whole_or_by_columns(lake):
    table = people("Ada", None, "Bo")
    write_table(lake, PATH, table)

    assert read_table(lake, PATH).equals(table)
    assert read_table(lake, PATH, ["row"]).column_names == ["row"]


def test_a_table_bears_the_stamp_it_was_written_with(lake):
    assert read_stamp(lake, PATH) is None
    write_table(lake, PATH, people("Ada"))
    assert read_stamp(lake, PATH) is None
    write_table(lake, PATH, people("Ada"), stamp="first")
    assert read_stamp(lake, PATH) == "first"
    write_table(lake, PATH, read_table(lake, PATH), stamp="second")
    assert read_stamp(lake, PATH) == "second"


def test_a_table_bears_the_settings_that_made_it_and_none_by_default(lake):
    table = pa.table({"a": [1]})
    write_table(lake, "a.parquet", table, stamp="one", settings={"margin": 0.2, "scale": (1, 2)})
    write_table(lake, "b.parquet", table, stamp="one")
    assert read_settings(lake, "a.parquet") == {"margin": 0.2, "scale": [1, 2]}
    assert read_stamp(lake, "a.parquet") == "one"
    assert read_settings(lake, "b.parquet") == read_settings(lake, "none.parquet") == {}


@pytest.mark.parametrize("data", [None, b"", b"PAR1" + b"x" * 50 + b"PAR1"])
def test_a_table_that_is_missing_or_broken_is_an_error_that_names_it(lake, data):
    if data is not None:
        lake.write(PATH, data)
        with pytest.raises(LakeError, match=PATH):
            read_stamp(lake, PATH)
    with pytest.raises(LakeError, match=PATH):
        read_table(lake, PATH)


def test_a_table_with_broken_pages_is_an_error_that_names_it(lake):
    write_table(lake, PATH, people("Ada", "Bo"))
    data = lake.read(PATH)
    lake.write(PATH, data[:4] + b"\xff" * 60 + data[64:])
    with pytest.raises(LakeError, match=PATH):
        read_table(lake, PATH)


def test_stamps_tell_inputs_apart():
    given_once = [("a", 1), ("a", "1"), ("a", 1.5), (["a", 1],), ({"a": 1},), (b"a", 1), ("a", None), ("a",), ()]

    assert len({stamp(*inputs) for inputs in given_once}) == len(given_once)
    assert stamp({"a": 1, "b": 2}) == stamp({"b": 2, "a": 1})
    assert stamp(b"\xab") == stamp("ab")


def test_stamps_are_the_same_in_every_process():
    values = ["dedupe", {"distance": 6, "share": 0.1}, {"b": [1, None]}]
    program = "import json, sys; from storage.tables.parquet import stamp; print(stamp(*json.loads(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", program, json.dumps(values)], check=True, capture_output=True)

    assert done.stdout.decode().strip() == stamp(*values)


def test_rows_become_a_table_with_nulls_for_what_they_lack():
    schema = pa.schema([pa.field("reason", pa.dictionary(pa.int32(), pa.string())), pa.field("num", pa.int16())])
    table = rows_to_table([{"reason": Reason.GONE, "num": 1}, {"num": 2}, {}], schema)

    assert table.schema == schema
    assert table.to_pylist() == [
        {"reason": "gone", "num": 1},
        {"reason": None, "num": 2},
        {"reason": None, "num": None},
    ]
    assert rows_to_table([], schema).schema == schema


def test_a_table_in_blocks_is_the_whole_one(tmp_path, monkeypatch):
    monkeypatch.setattr("storage.tables.parquet._ROW_GROUP", 2)
    lake, rows = (
        Lake(tmp_path / "lake"),
        link_lines(*[("Ada", line, f"http://a.example/{line}", None) for line in range(7)]),
    )

    num = write_blocks(lake, "links/made/lines.parquet", LINK_LINES, [rows.slice(0, 3), rows.slice(3)], stamp="abc")
    blocks = list(read_blocks(lake, "links/made/lines.parquet", LINK_LINES, ["line", "url"], num_rows=3))

    assert num == 7
    assert [len(block) for block in blocks] == [3, 4]
    assert pa.concat_tables(blocks).equals(rows.select(["line", "url"]))
    assert read_stamp(lake, "links/made/lines.parquet") == "abc"


def test_a_table_in_a_bucket_that_is_replaced_while_its_pieces_are_read_is_no_damage(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.tables.parquet._TABLE_BYTES", 500)
    lake, real = Lake(f"{bucket}/lake"), EndFirst.readinto
    number = {"number": np.random.default_rng(0).integers(0, 2**62, 2000)}
    write_table(lake, PATH, pa.table(number))

    def then_replaced(file: EndFirst, buffer: Any) -> int:
        done = real(file, buffer)
        write_table(Lake(lake.url), PATH, pa.table(number).slice(0, 1000))
        return done

    with monkeypatch.context() as patch:
        patch.setattr(EndFirst, "readinto", then_replaced)
        with pytest.raises(ChangedMeanwhile, match=f"{PATH}: rows were replaced by another run"):
            read_table(lake, PATH)
    assert len(read_table(lake, PATH)) == 1000
