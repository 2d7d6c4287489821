"""The link lines of a source in the lake."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import LINK_LINES
from storage.tables.parquet import read_as, read_blocks
from storage.tables.stored_rows import StoredRows

# Up to a million lines: columns that have been read stay in memory, 160 MB, instead of being read again.
_SMALL_BYTES = 64_000_000


def lines_in(lake: Lake, source: str) -> StoredRows:
    """The lines of a source (`records.LINK_LINES`), by identity and line; their columns are read when needed."""
    path = lake.links(source, "lines.parquet")
    held: dict[str, pa.ChunkedArray] = {}

    def blocks(columns: list[str]) -> Iterator[pa.Table]:
        if (lake.size(path) or 0) > _SMALL_BYTES:
            return read_blocks(lake, path, LINK_LINES, columns)
        if missing := [name for name in columns if name not in held]:
            held.update(zip(missing, read_as(lake, path, LINK_LINES, missing).columns, strict=True))
        schema = pa.schema([LINK_LINES.field(name) for name in columns])
        return iter([pa.table([held[name] for name in columns], schema=schema)])

    return StoredRows(blocks)
