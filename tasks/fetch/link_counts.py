"""The links of a source counted by outcome, kept so that they are not read again while nothing has changed."""

from __future__ import annotations

import pyarrow as pa

from storage.cached_results import read_cached_table, state_of, table_states, write_cached_table
from storage.counts import count_by, counts_schema
from storage.lake import Lake
from storage.records import ATTEMPTS
from storage.takedowns import takedown_state
from tasks.fetch.ledger import read_ledger

# The columns by which a retry chooses links, but for the host.
_BY = ("outcome", "reason", "via", "next_try")
LINK_COUNTS = counts_schema(ATTEMPTS, _BY)


def kept_link_counts(lake: Lake, source: str) -> pa.Table | None:
    """The links of a source by outcome (`LINK_COUNTS`), if they are kept as they are now."""
    return read_cached_table(lake, _name(source), _state(lake, source), LINK_COUNTS)


def count_links(lake: Lake, source: str) -> pa.Table:
    """The links of a source by outcome (`LINK_COUNTS`), kept or counted now; nothing is written."""
    kept = kept_link_counts(lake, source)
    return _count(lake, source) if kept is None else kept


def keep_link_counts(lake: Lake, source: str) -> None:
    """Count the links of a source by outcome, and keep the counts."""
    state = _state(lake, source)
    write_cached_table(lake, _name(source), state, _count(lake, source))


def _count(lake: Lake, source: str) -> pa.Table:
    return count_by(read_ledger(lake, source, list(_BY)), _BY)


def _state(lake: Lake, source: str) -> str:
    return state_of(table_states(lake, lake.images(source)), takedown_state(lake, source))


def _name(source: str) -> str:
    return f"links/{source}"
