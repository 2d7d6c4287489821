"""Blank URLs under takedown in the link lines that versions share. The outcomes of the lines stay."""

from __future__ import annotations

from functools import partial

import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import SHARED_LINES
from storage.tables.parquet import read_as, write_table
from storage.text.names import NAME
from storage.versions.takedowns import covered_lines, read_forgotten


def lines_to_blank(lake: Lake) -> list[str]:
    """The tables of lines with URLs under takedown."""
    folders = [lake.shared_lines(dataset) for dataset in filter(NAME.fits, lake.names("datasets"))]
    paths = [f"{folder}/{name}" for folder in folders for name in lake.names(folder) if name.endswith(".parquet")]
    forgotten = partial(read_forgotten, lake)
    return [path for path in paths if pc.any(covered_lines(read_as(lake, path, SHARED_LINES), forgotten)).as_py()]


def blank_lines(lake: Lake, path: str) -> None:
    """Blank the URLs under takedown in a table of lines, in one step."""
    lines = read_as(lake, path, SHARED_LINES)
    urls = pc.if_else(covered_lines(lines, partial(read_forgotten, lake)), "", lines["url"])
    write_table(lake, path, lines.set_column(lines.schema.get_field_index("url"), SHARED_LINES.field("url"), urls))
