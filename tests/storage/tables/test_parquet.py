from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import DETECTIONS, LINK_LINES, Reason
from storage.tables.parquet import (
    blocks_digest,
    read_blocks,
    read_settings,
    read_stamp,
    read_table,
    rows_to_table,
    stamp,
    table_digest,
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


def encoded(table: pa.Table) -> pa.Table:
    return table.set_column(0, "name", table["name"].dictionary_encode())


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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["Ada", "Bo", "Cy", None]), max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_the_digest_of_a_table_hangs_on_neither_chunks_nor_dictionaries(names, cuts):
    table = people(*names)
    edges = [0, *sorted(min(cut, len(names)) for cut in cuts), len(names)]
    pieces = [table.slice(start, end - start) for start, end in pairwise(edges)]

    assert table_digest(pa.concat_tables(pieces)) == table_digest(table)
    assert table_digest(pa.concat_tables([encoded(piece) for piece in pieces])) == table_digest(table)


def link_lines_with_and_without_boxes() -> pa.Table:
    boxes = [(1.0, 2.0, 3.0, 4.0), None, (0.0, 0.0, 9.0, 9.0), None, None]
    rows = [
        {"identity": "Ada", "line": row, "url": "", "key": bytes(16), "box_xyxy": box} for row, box in enumerate(boxes)
    ]
    return rows_to_table(rows, LINK_LINES)


def test_the_digest_of_a_table_outlives_a_detour_over_other_orders():
    table, there = link_lines_with_and_without_boxes(), [3, 1, 4, 0, 2]

    assert table_digest(table.take(there).take(np.argsort(there))) == table_digest(table)
    assert table_digest(table.take(there)) != table_digest(table)


def test_the_digest_of_a_table_outlives_a_stay_in_the_lake(lake):
    for table in (link_lines_with_and_without_boxes(), LINK_LINES.empty_table(), DETECTIONS.empty_table()):
        write_table(lake, PATH, table)
        assert table_digest(read_table(lake, PATH)) == table_digest(table)


def test_the_digest_of_a_table_hangs_on_nothing_below_a_null():
    seen, zeros = pa.array([1.0, 2.0]), pa.array([1.0, 0.0])
    first_only = pa.py_buffer(bytes([0b01]))
    tables = [
        pa.table({"x": pa.Array.from_buffers(pa.float64(), 2, [first_only, values.buffers()[1]])})
        for values in (seen, zeros)
    ]

    assert table_digest(tables[0]) == table_digest(tables[1])


def test_the_digest_of_a_table_hangs_on_values_nulls_and_order():
    tables = [people("Ada", "Bo"), people("Bo", "Ada"), people("Ada", None), people("Ada", ""), people("Ada")]

    assert len({table_digest(table) for table in tables}) == len(tables)


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


def test_the_digest_of_a_large_table_does_not_depend_on_its_chunks(monkeypatch):
    table = pa.table({"url": [f"http://{n}.example" for n in range(100)], "line": np.arange(100)})
    small = table_digest(table)
    monkeypatch.setattr("storage.tables.parquet.MOST_BYTES", 100)
    monkeypatch.setattr("storage.tables.parquet._LARGE_ROWS", 30)
    chunked = pa.concat_tables(table.slice(at, 17) for at in range(0, 100, 17))

    assert table_digest(chunked) == table_digest(table) != small


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


def test_a_digest_in_another_order_is_that_of_the_sorted_table(monkeypatch):
    rows = link_lines(*[("Ada", line, f"http://a.example/{line % 3}", None) for line in range(9)])
    order = np.array([3, 1, 4, 0, 5, 8, 2, 6, 7])

    whole = table_digest(rows, order)
    assert whole == table_digest(rows.take(pa.array(order))) != table_digest(rows)
    monkeypatch.setattr("storage.tables.parquet.MOST_BYTES", 100)
    monkeypatch.setattr("storage.tables.parquet._LARGE_ROWS", 4)
    assert table_digest(rows, order) == table_digest(rows.take(pa.array(order)))


@pytest.mark.parametrize("most_bytes", [2**31, 100])
def test_a_digest_of_blocks_is_that_of_the_table(monkeypatch, most_bytes):
    monkeypatch.setattr("storage.tables.parquet.MOST_BYTES", most_bytes)
    monkeypatch.setattr("storage.tables.parquet._LARGE_ROWS", 4)
    rows = link_lines(*[(f"Person {line}", line, f"http://a.example/{line}", None) for line in range(23)])
    for size in (1, 3, 10, 23):
        blocks = [rows.slice(start, size) for start in range(0, 23, size)]
        assert blocks_digest(partial(iter, blocks)) == table_digest(rows)
    assert blocks_digest(lambda: [rows.slice(0, 0)]) == table_digest(rows.slice(0, 0))
