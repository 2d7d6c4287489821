"""The link lines that a dataset version decided on, shared by the versions that decided on the same.

    datasets/<name>/lines/<digest>.parquet    one row a planned line (`records.SHARED_LINES`), as `outcomes.parquet`

The outcomes of lines change from version to version, and the lines hardly ever, so a version keeps the outcomes and
names this table. The name is a digest of the table as it was written; a purge blanks URLs in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import SHARED_LINES
from storage.tables.digests import blocks_digest
from storage.tables.parquet import read_as, write_blocks
from storage.tables.stored_rows import StoredRows
from storage.text.names import DIGEST


def write_lines(lake: Lake, dataset: str, lines: StoredRows) -> str:
    """Write the lines, unless they are there; returns their digest.

    Args:
        lines: the columns of `records.SHARED_LINES` at least.
    """

    def blocks() -> Iterator[pa.Table]:
        return (block.select(SHARED_LINES.names).cast(SHARED_LINES) for block in lines.blocks(SHARED_LINES.names))

    digest = blocks_digest(blocks)
    path = f"{lake.shared_lines(dataset, digest)}.parquet"
    if not lake.exists(path):
        write_blocks(lake, path, SHARED_LINES, blocks())
    return digest


def read_lines(lake: Lake, dataset: str, digest: str) -> pa.Table:
    """The lines (`records.SHARED_LINES`).

    Raises:
        LakeError: there is no such table, or it is damaged.
    """
    where = f"{lake.url}/{lake.dataset(dataset)}"
    return read_as(lake, f"{lake.shared_lines(dataset, DIGEST.checked(digest, 'lines', where))}.parquet", SHARED_LINES)


def with_urls(outcomes: pa.Table, lines: pa.Table, where: str) -> pa.Table:
    """Outcomes with the column `url` of their lines.

    Args:
        where: the file of the lines, for errors.

    Raises:
        LakeError: they are not of these lines.
    """
    if len(outcomes) != len(lines):
        raise LakeError(f"{where} has {len(lines)} lines for {len(outcomes)} outcomes: run `facemill check`")
    return outcomes.append_column(SHARED_LINES.field("url"), lines["url"])
