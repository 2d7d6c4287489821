"""What is known of every candidate: the union of all image indexes, the newest row per key. And what is due."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.lake import Lake
from storage.records import ATTEMPTS, Outcome, Reason, Retry
from storage.tables import read_table

# The wait before each further round, by rounds already spent. Retrying everything once takes a run from 56% to 77%,
# ten tries reach 78% (img2dataset #361): so once more in the same run, and then ever more rarely.
_SOON = (timedelta(0), timedelta(hours=1), timedelta(days=1), timedelta(days=7))
_LATER = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))


def image_stems(lake: Lake, source: str) -> list[str]:
    """The committed shards of images of a source, in order."""
    suffix = ".parquet"
    return [name.removesuffix(suffix) for name in lake.names(lake.images(source)) if name.endswith(suffix)]


def read_ledger(lake: Lake, source: str, columns: list[str] | None = None) -> pa.Table:
    """The newest attempt per key (`records.ATTEMPTS`, or some columns of it)."""
    wanted = columns or ATTEMPTS.names
    needed = list(dict.fromkeys([*wanted, "key", "round"]))
    tables = [read_table(lake, f"{lake.images(source, stem)}.parquet", needed) for stem in image_stems(lake, source)]
    if not tables:
        return pa.schema([ATTEMPTS.field(name) for name in wanted]).empty_table()
    attempts = pa.concat_tables(tables).unify_dictionaries()
    return newest(attempts).select(wanted)


def newest(attempts: pa.Table) -> pa.Table:
    """The row of the highest round per key, the later one of equals, in the order these rows have."""
    order = np.argsort(attempts["round"].to_numpy(), kind="stable")
    rows = pa.table({"key": attempts["key"].take(pa.array(order)), "row": np.arange(len(order))})
    last = rows.group_by("key").aggregate([("row", "max")])["row_max"].to_numpy()
    return attempts.take(pa.array(np.sort(order[last])))


def unknown(candidates: pa.Table, ledger: pa.Table) -> pa.Table:
    """The candidates nobody has asked for yet."""
    return candidates.filter(pc.invert(pc.is_in(candidates["key"], value_set=ledger["key"].combine_chunks())))


def due(ledger: pa.Table, now: datetime) -> pa.Table:
    """The rows whose next try has come."""
    return ledger.filter(
        pc.fill_null(pc.less_equal(ledger["next_try"], pa.scalar(now, pa.timestamp("ms", "UTC"))), False)
    )


def pending_new(candidates: pa.Table, ledger: pa.Table) -> pa.Table:
    """What a first round asks for: key, url, unit, tries and round of the candidates nobody has asked for yet."""
    new = unknown(candidates, ledger)
    zeros = pa.array(np.zeros(len(new), dtype=np.int16))
    return new.append_column("tries", zeros).append_column("round", zeros)


def pending_due(candidates: pa.Table, ledger: pa.Table, now: datetime) -> pa.Table:
    """What a further round asks for: key, url, unit, tries and round of the candidates whose next try has come."""
    ready = due(ledger, now)
    rows = pc.index_in(candidates["key"], value_set=ready["key"].combine_chunks())
    again = candidates.filter(pc.is_valid(rows))
    rows = rows.drop_null()
    return again.append_column("tries", ready["tries"].take(rows)).append_column("round", ready["round"].take(rows))


def still_pending(pending: pa.Table, ledger: pa.Table) -> pa.Table:
    """Those of `pending` whose round has not been committed meanwhile."""
    rows = pc.index_in(pending["key"], value_set=ledger["key"].combine_chunks())
    committed = pc.greater(ledger["round"].take(rows), pending["round"])
    return pending.filter(pc.invert(pc.fill_null(committed, False)))


def next_try(reason: Reason, rounds: int, now: datetime, retry_after_s: float | None = None) -> datetime | None:
    """When to ask again after `rounds` failed rounds; None for never. The server's Retry-After is obeyed."""
    gaps = {Retry.NEVER: (), Retry.SOON: _SOON, Retry.LATER: _LATER}[reason.retry]
    if rounds > len(gaps):
        return None
    gap = gaps[rounds - 1]
    return now + max(gap, timedelta(seconds=retry_after_s or 0))


def accepted(attempts: pa.Table) -> pa.Table:
    """The rows whose picture is in the lake."""
    return attempts.filter(pc.equal(attempts["outcome"].cast(pa.string()), Outcome.ACCEPTED.value))
