"""The links of a selection that were never requested: of the plan in the lake, or of lines that are not in it yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import CANDIDATES
from storage.tables.parquet import read_as, read_blocks
from storage.tables.stored_rows import StoredRows
from storage.tables.take import take_values
from tasks.fetch.ledger import first_round, read_ledger
from tasks.links.plan import OF_CHOICE, choose

# So many URLs are copied at a time, 100 MB.
_URLS_AT_A_TIME = 1_000_000


def read_never_asked(lake: Lake, source: str, stems: Sequence[str]) -> pa.Table:
    """The candidates of a plan without an attempt, with tries and round (`ledger.first_round`).

    Args:
        stems: the shards with the attempts.
    """
    asked = read_ledger(lake, source, ["key"], stems=stems)["key"].combine_chunks()
    while True:
        keys = read_as(lake, lake.plan(source), CANDIDATES, ["key"])["key"]
        is_new = pc.invert(pc.is_in(keys, value_set=asked))
        if not pc.any(is_new).as_py():
            return first_round(CANDIDATES.empty_table())
        if (found := _rows(lake, source, keys, is_new)) is not None:
            return first_round(found)


def _rows(lake: Lake, source: str, keys: pa.ChunkedArray, wanted: pa.ChunkedArray) -> pa.Table | None:
    """The rows of a plan that a mask chooses; None if the plan has other keys by now, as of another selection."""
    found, start = [], 0
    for block in read_blocks(lake, lake.plan(source), CANDIDATES):
        if not block["key"].equals(keys.slice(start, len(block))):
            return None
        found.append(block.filter(wanted.slice(start, len(block))))
        start += len(block)
    return pa.concat_tables(found).unify_dictionaries() if start == len(keys) else None


def urls_never_asked(
    listed: StoredRows, ledger: pa.Table, identities: int | Sequence[str] | None, per_identity: int | None
) -> Iterator[pa.ChunkedArray]:
    """The URLs of a selection of lines without an attempt, some at a time.

    Args:
        listed: `records.LINK_LINES` of the whole source; the selection is that of `plan.plan`.
        ledger: `key` of `records.ATTEMPTS`.
    """
    lines = listed.table(OF_CHOICE)
    rows = choose(lines, identities, per_identity).rows
    keys = lines["key"].take(pa.array(rows))
    rows = rows[pc.invert(pc.is_in(keys, value_set=ledger["key"].combine_chunks())).to_numpy()]
    del lines, keys
    start = 0
    for block in listed.blocks(["url"]):
        first, end = np.searchsorted(rows, [start, start + len(block)]).tolist()
        for at in range(first, end, _URLS_AT_A_TIME):
            yield take_values(block["url"], rows[at : min(at + _URLS_AT_A_TIME, end)] - start)
        start += len(block)
