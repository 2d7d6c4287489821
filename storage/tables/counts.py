"""Tables of counts: one row for each combination of values of some columns, with the number of rows that have it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storage.tables.parquet import with_plain_words

_NUM = pa.field("num", pa.int64(), nullable=False)


def counts_schema(schema: pa.Schema, by: Sequence[str]) -> pa.Schema:
    """The schema of the counts of a table of `schema`."""
    return pa.schema([*(schema.field(name) for name in by), _NUM])


def count_by(table: pa.Table, by: Sequence[str]) -> pa.Table:
    """The number of rows for each combination of values of the columns `by`, in their order."""
    plain = with_plain_words(table.select(by))
    counts = plain.group_by(list(by)).aggregate([([], "count_all")]).rename_columns([*by, _NUM.name])
    return counts.sort_by([(name, "ascending") for name in by]).cast(counts_schema(table.schema, by))


def total(counts: pa.Table) -> int:
    """The number of rows that were counted."""
    return pc.sum(counts[_NUM.name]).as_py() or 0


def totals(counts: pa.Table, column: str) -> dict[str, int]:
    """The number of rows by the word in a column, the most frequent first; rows without a word are left out."""
    by_word = with_plain_words(counts.select([column, _NUM.name])).group_by(column).aggregate([(_NUM.name, "sum")])
    rows = [(row[column], row[f"{_NUM.name}_sum"]) for row in by_word.to_pylist() if row[column] is not None]
    return dict(sorted(rows, key=lambda row: (-row[1], row[0])))
