"""Digests of tables: of their rows in order, independent of chunks, dictionaries and memory layout.

SHA-256 over Arrow's IPC stream of the rows in one batch; of a table that Arrow cannot hold in one array, in several.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.records import YOUNGER_COLUMNS
from storage.tables.take import MOST_BYTES, joined_columns, take

# A table with more bytes of strings than one array of Arrow holds is digested in parts of so many rows.
_LARGE_ROWS = 2**22


def table_digest(table: pa.Table, order: npt.NDArray[np.int64] | None = None) -> str:
    """A digest of 16 hex digits over a table's rows in order, independent of chunks and memory layout.

    Args:
        order: the rows in another order, [n]; spares a sorted copy of the table.
    """
    digest = _Digest(table.schema)
    is_large = any(column.nbytes > MOST_BYTES for column in table.columns)
    rows = _LARGE_ROWS if is_large else max(len(table), 1)
    for start in range(0, len(table), rows):
        if order is None:
            digest.add(table.slice(start, rows))
        elif is_large:
            digest.add(take(table, order[start : start + rows]))
        else:
            digest.add(table, order)
    return digest.hex()


def blocks_digest(blocks: Callable[[], Iterable[pa.Table]]) -> str:
    """The digest of a table (`table_digest`) that comes in blocks of rows, which are asked for twice if it is large."""
    schema, held = pa.schema([]), defaultdict[str, list[pa.ChunkedArray]](list)
    sizes = Counter[str]()
    for block in blocks():
        schema = block.schema
        for name in schema.names:
            held[name].append(block[name])
            sizes[name] += block[name].nbytes
        del block
        if max(sizes.values()) > MOST_BYTES:
            held.clear()
            return _large_digest(schema, blocks())
    digest = _Digest(schema)
    digest.add_columns(joined_columns(held.pop(name)) for name in schema.names)
    return digest.hex()


def _large_digest(schema: pa.Schema, blocks: Iterable[pa.Table]) -> str:
    digest, waiting = _Digest(schema), schema.empty_table()
    for block in blocks:
        waiting = pa.concat_tables([waiting, block]) if len(waiting) else block
        while len(waiting) >= _LARGE_ROWS:
            digest.add(waiting.slice(0, _LARGE_ROWS))
            waiting = waiting.slice(_LARGE_ROWS)
    digest.add(waiting)
    return digest.hex()


def _in_one_layout(column: pa.ChunkedArray, kind: pa.DataType, rows: npt.NDArray[np.int64] | None) -> pa.Array:
    """All rows as one array of `kind`, or these, in this order.

    Taking them writes zeros below nulls, where bytes are undefined. Strings without nulls that were put together from
    chunks are in that layout already; URLs are the largest column.
    """
    whole = column.cast(kind).combine_chunks()
    if rows is None and column.num_chunks > 1 and pa.types.is_string(kind) and not column.null_count:
        return whole
    return whole.take(pa.array(np.arange(len(whole)) if rows is None else rows))


class _Digest:
    """A digest of the rows of a table that are added one part after the other; the same parts give the same digest."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sha = hashlib.sha256()
        self._plain = pa.schema([field.with_type(_plain(field.type)) for field in schema]).remove_metadata()
        self._stream = pa.ipc.new_stream(_Hasher(self._sha), self._plain)

    def add(self, table: pa.Table, rows: npt.NDArray[np.int64] | None = None) -> None:
        """Add all rows of a table, or these, in this order."""
        self.add_columns(iter(table.columns), rows)

    def add_columns(self, columns: Iterator[pa.ChunkedArray], rows: npt.NDArray[np.int64] | None = None) -> None:
        """Add rows likewise, of columns that come one after the other and are let go of."""
        plain = [_in_one_layout(next(columns), kind, rows) for kind in self._plain.types]
        if plain and len(plain[0]):
            self._stream.write_batch(pa.RecordBatch.from_arrays(plain, schema=self._plain))

    def hex(self) -> str:
        """The digest, in 16 hex digits."""
        self._stream.close()
        return self._sha.hexdigest()[:16]


def digest_of_lines(lines: pa.Table) -> str:
    """A digest of `records.LINK_LINES`. Columns of later releases count only if anything stands in them."""
    unused = [name for name in YOUNGER_COLUMNS if lines[name].null_count == len(lines)]
    return table_digest(lines.drop_columns(unused))


def _plain(kind: pa.DataType) -> pa.DataType:
    """`kind` without dictionaries, and its lists with Arrow's name for their elements, which Parquet changes."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type), kind.list_size)
    return pa.list_(_plain(kind.value_type)) if pa.types.is_list(kind) else kind


class _Hasher:
    """A writable file object that keeps only the hash."""

    closed = False

    def __init__(self, sha: Any) -> None:
        self._sha = sha

    def write(self, data: Any) -> int:
        self._sha.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
