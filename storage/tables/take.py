"""Rows of large tables.

Arrow takes rows of a column of strings only if they have at most 2 GB together, as the URLs of 23 million link lines
have: it puts all chunks into one array, whose offsets have 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Arrow holds at most so many bytes of strings in one array.
MOST_BYTES = 2**31 - 1
# So many rows of a large column are put into one array: 200 MB of URLs.
_ROWS_AT_A_TIME = 2_000_000
# Below this share rows are taken chunk by chunk: of 2.5 million in 25 chunks one in 64 took 7 ms of URLs and 4 of
# numbers, where Arrow, which first puts all chunks into one array, took 24 and 2. A crop takes one in 2,000 at a time.
_FEW = 64


def take(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """The rows of a table, in this order; as `Table.take`, whatever the size of the table."""
    return pa.table([take_values(column, rows) for column in table.columns], schema=table.schema)


def joined_columns(parts: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Columns of one type one after the other, with one dictionary if they have any; at least one."""
    column = pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
    return column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column


def take_values(column: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> pa.ChunkedArray:
    """The values of a column in these rows, in this order."""
    if column.num_chunks < 2 or (len(rows) > len(column) // _FEW and column.nbytes <= MOST_BYTES):
        return column.take(pa.array(rows))
    parts = (rows[start : start + _ROWS_AT_A_TIME] for start in range(0, len(rows), _ROWS_AT_A_TIME))
    return pa.chunked_array([_gathered(column, part) for part in parts], column.type)


def _gathered(column: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> pa.Array:
    """The values of a few rows, taken chunk by chunk and then put in order."""
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    order = np.argsort(rows, kind="stable")
    by_chunk = np.split(rows[order], np.searchsorted(rows[order], ends[:-1]))
    starts = [0, *ends[:-1].tolist()]
    found = [
        chunk.take(pa.array(some - start))
        for chunk, some, start in zip(column.chunks, by_chunk, starts, strict=True)
        if len(some)
    ]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(found).take(pa.array(back))
