from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.files.lake import Lake
from storage.records import DETECTIONS, LINK_LINES
from storage.tables.digests import blocks_digest, table_digest
from storage.tables.parquet import read_table, rows_to_table, write_table
from tests.tasks.image_shards import link_lines

PATH = "plan/made.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def link_lines_with_and_without_boxes() -> pa.Table:
    boxes = [(1.0, 2.0, 3.0, 4.0), None, (0.0, 0.0, 9.0, 9.0), None, None]
    rows = [
        {"identity": "Ada", "line": row, "url": "", "key": bytes(16), "box_xyxy": box} for row, box in enumerate(boxes)
    ]
    return rows_to_table(rows, LINK_LINES)


def people(*names: str | None) -> pa.Table:
    return pa.table({"name": pa.array(names, pa.string()), "row": np.arange(len(names))})


def encoded(table: pa.Table) -> pa.Table:
    return table.set_column(0, "name", table["name"].dictionary_encode())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["Ada", "Bo", "Cy", None]), max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_the_digest_of_a_table_hangs_on_neither_chunks_nor_dictionaries(names, cuts):
    table = people(*names)
    edges = [0, *sorted(min(cut, len(names)) for cut in cuts), len(names)]
    pieces = [table.slice(start, end - start) for start, end in pairwise(edges)]

    assert table_digest(pa.concat_tables(pieces)) == table_digest(table)
    assert table_digest(pa.concat_tables([encoded(piece) for piece in pieces])) == table_digest(table)


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


def test_the_digest_of_a_large_table_does_not_depend_on_its_chunks(monkeypatch):
    table = pa.table({"url": [f"http://{n}.example" for n in range(100)], "line": np.arange(100)})
    small = table_digest(table)
    monkeypatch.setattr("storage.tables.digests.MOST_BYTES", 100)
    monkeypatch.setattr("storage.tables.digests._LARGE_ROWS", 30)
    chunked = pa.concat_tables(table.slice(at, 17) for at in range(0, 100, 17))

    assert table_digest(chunked) == table_digest(table) != small


def test_a_digest_in_another_order_is_that_of_the_sorted_table(monkeypatch):
    rows = link_lines(*[("Ada", line, f"http://a.example/{line % 3}", None) for line in range(9)])
    order = np.array([3, 1, 4, 0, 5, 8, 2, 6, 7])

    whole = table_digest(rows, order)
    assert whole == table_digest(rows.take(pa.array(order))) != table_digest(rows)
    monkeypatch.setattr("storage.tables.digests.MOST_BYTES", 100)
    monkeypatch.setattr("storage.tables.digests._LARGE_ROWS", 4)
    assert table_digest(rows, order) == table_digest(rows.take(pa.array(order)))


@pytest.mark.parametrize("most_bytes", [2**31, 100])
def test_a_digest_of_blocks_is_that_of_the_table(monkeypatch, most_bytes):
    monkeypatch.setattr("storage.tables.digests.MOST_BYTES", most_bytes)
    monkeypatch.setattr("storage.tables.digests._LARGE_ROWS", 4)
    rows = link_lines(*[(f"Person {line}", line, f"http://a.example/{line}", None) for line in range(23)])
    for size in (1, 3, 10, 23):
        blocks = [rows.slice(start, size) for start in range(0, 23, size)]
        assert blocks_digest(partial(iter, blocks)) == table_digest(rows)
    assert blocks_digest(lambda: [rows.slice(0, 0)]) == table_digest(rows.slice(0, 0))
