"""The link lines of a source in the lake."""

from __future__ import annotations

from functools import partial

from storage.files.lake import Lake
from storage.records import LINK_LINES
from storage.tables.parquet import read_blocks
from storage.tables.stored_rows import StoredRows


def lines_in(lake: Lake, source: str) -> StoredRows:
    """The lines of a source (`records.LINK_LINES`), by identity and line; their columns are read when needed."""
    return StoredRows(partial(read_blocks, lake, lake.links(source, "lines.parquet"), LINK_LINES))
