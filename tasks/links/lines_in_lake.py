"""The link lines of a source in the lake."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from storage.errors import changed_meanwhile
from storage.files.lake import Lake
from storage.records import LINK_LINES
from storage.tables.parquet import read_as, read_blocks, read_stamp
from storage.tables.stored_rows import StoredRows

# Up to a million lines: columns that have been read stay in memory, 160 MB, instead of being read again.
_SMALL_BYTES = 64_000_000


def lines_in(lake: Lake, source: str) -> StoredRows:
    """The lines of a source (`records.LINK_LINES`), by identity and line; their columns are read when needed.

    Reading them raises `ChangedMeanwhile` if another run has replaced them since this call.
    """
    path = lake.links(source, "lines.parquet")
    stamp, held = read_stamp(lake, path), dict[str, pa.ChunkedArray]()

    def check() -> None:
        # After reading: a file that is the same now was the same then.
        if read_stamp(lake, path) != stamp:
            raise changed_meanwhile(f"{lake.url}/{path}: link lines")

    def blocks(columns: list[str]) -> Iterator[pa.Table]:
        if (lake.size(path) or 0) > _SMALL_BYTES:
            for block in read_blocks(lake, path, LINK_LINES, columns):
                check()
                yield block
            return
        if missing := [name for name in columns if name not in held]:
            found = read_as(lake, path, LINK_LINES, missing)
            check()
            held.update(zip(missing, found.columns, strict=True))
        schema = pa.schema([LINK_LINES.field(name) for name in columns])
        yield pa.table([held[name] for name in columns], schema=schema)

    return StoredRows(blocks)
