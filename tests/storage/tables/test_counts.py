from __future__ import annotations

import pyarrow as pa

from storage.tables.counts import count_by, counts_schema, total, totals

SCHEMA = pa.schema([pa.field("word", pa.dictionary(pa.int32(), pa.string())), pa.field("num_tries", pa.int16())])
TABLE = pa.table({"word": ["b", None, "a", "b", "c", "c"], "num_tries": [1, 1, 2, 1, None, 3]}, SCHEMA)


def test_each_combination_of_values_is_a_row() -> None:
    counts = count_by(TABLE, ["word", "num_tries"])
    assert counts.schema == counts_schema(SCHEMA, ["word", "num_tries"])
    assert counts.to_pylist() == [
        {"word": "a", "num_tries": 2, "num": 1},
        {"word": "b", "num_tries": 1, "num": 2},
        {"word": "c", "num_tries": 3, "num": 1},
        {"word": "c", "num_tries": None, "num": 1},
        {"word": None, "num_tries": 1, "num": 1},
    ]


def test_totals_are_those_of_the_rows_the_most_frequent_first() -> None:
    counts = count_by(TABLE, ["word", "num_tries"])
    assert total(counts) == len(TABLE)
    assert list(totals(counts, "word").items()) == [("b", 2), ("c", 2), ("a", 1)]


def test_no_rows_are_no_counts() -> None:
    counts = count_by(TABLE.slice(0, 0), ["word"])
    assert (total(counts), totals(counts, "word")) == (0, {})
