"""The links of a source counted by outcome, kept so that they are not read again while nothing has changed."""

from __future__ import annotations

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import ATTEMPTS
from storage.stamps.cached_results import CachedTable, state_of, table_states
from storage.tables.counts import count_by, counts_schema
from storage.versions.takedowns import takedown_state
from tasks.fetch.ledger import read_ledger

# The columns by which a retry chooses links, but for the host.
_BY = ("outcome", "reason", "via", "next_try")
LINK_COUNTS = counts_schema(ATTEMPTS, _BY)


def link_counts(lake: Lake, source: str) -> CachedTable:
    """The links of a source by outcome (`LINK_COUNTS`)."""

    def state() -> str:
        return state_of(table_states(lake, lake.images(source)), takedown_state(lake, source))

    def count() -> pa.Table:
        return count_by(read_ledger(lake, source, list(_BY)), _BY)

    return CachedTable(lake, f"links/{source}", LINK_COUNTS, state, count)
