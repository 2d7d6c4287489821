"""Retry: ask once more for what failed and is due, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow

from flows.ingest import SourceName, fetch_pending
from flows.made_world import web_for
from storage.lake import Lake
from tasks.catalog import read_plan
from tasks.http import ConnectTo
from tasks.ledger import pending_due, read_ledger


@flow(name="retry", flow_run_name="retry {source}", persist_result=False)
async def retry(
    lake: str, source: SourceName = "vggface1", links: str | None = None, connect_to: str | None = None
) -> dict[str, Any]:
    """Ask for the failed links whose waiting time is over.

    How long each waits is written beside its reason in `storage/records.py`, and the gaps in `tasks/ledger.py`.

    Returns:
        Counts of this round: asked, accepted, rejected by reason.
    """
    store = Lake(lake)
    ledger = read_ledger(store, source, ["key", "tries", "round", "next_try"])
    pending = pending_due(read_plan(store, source), ledger, datetime.now(UTC))
    with web_for(store, source, links, connect_to) as web:
        address = ConnectTo.parse(web.connect_to) if web.connect_to else None
        return await fetch_pending(store, source, web.links, address, pending, "retry")
