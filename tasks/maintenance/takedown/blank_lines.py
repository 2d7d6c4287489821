"""Blank URLs under takedown in the link lines of dataset versions, which may identify a person.

The outcomes of the lines stay, so that the counts add up.
"""

from __future__ import annotations

from functools import partial

import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import SHARED_LINES
from storage.tables.parquet import read_as, write_table
from storage.text.names import NAME
from storage.versions.datasets import DatasetVersion
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


def blank_own_lines(version: DatasetVersion) -> None:
    """Blank the URLs under takedown in the outcomes of a version that does not share its lines.

    It may have such lines and no sample of them: their pictures were rejected, or never fetched.
    """
    if version.lines_digest is not None or not version.lake.exists(version.outcomes_path):
        return
    outcomes = version.outcomes()
    covered = covered_lines(outcomes, partial(read_forgotten, version.lake))
    if pc.any(covered).as_py():
        at = outcomes.schema.get_field_index("url")
        urls = pc.if_else(covered, "", outcomes["url"])
        write_table(version.lake, version.outcomes_path, outcomes.set_column(at, outcomes.schema.field(at), urls))
