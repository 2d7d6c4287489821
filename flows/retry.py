"""Retry: ask once more for what failed and is due, and for nothing else."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger

from flows.ingest import SourceName, fetch_pending, is_first_contact
from flows.settings import user_name
from flows.status import due_for, retry_choice
from flows.synthetic_web import web_for
from storage.lake import Lake
from tasks.fetch.consent import record_consent
from tasks.fetch.forecast import forecast
from tasks.fetch.ledger import image_stems
from tasks.links.sources import source_named
from tasks.web.http import ConnectTo


@flow(name="retry", flow_run_name="retry {source}", persist_result=False)
async def retry(
    lake: str,
    *,
    source: SourceName = "vggface1",
    links: str | None = None,
    connect_to: str | None = None,
    reasons: list[str] | None = None,
    hosts: list[str] | None = None,
    now: bool = False,
    archive_fallback: bool = False,
    also_final: bool = False,
    allow_outside: bool = False,
) -> dict[str, Any]:
    """Ask for the failed links whose waiting time is over.

    How long each waits is written beside its reason in `storage/records.py`, and the gaps in `tasks/fetch/ledger.py`.

    Args:
        lake: the folder or URL everything is kept in.
        source: where the links come from.
        links: as `ingest` was given them; used where a source is a folder.
        connect_to: HOST:PORT that every request goes to instead of its own host.
        reasons: only links that failed for one of these.
        hosts: only links on one of these hosts.
        now: also those that are not due yet.
        archive_fallback: instead, ask the web archive of FACEMILL_ARCHIVE_URL for what is gone for good.
        also_final: also those that no try is due for any more.
        allow_outside: hosts outside this machine may be asked, though nobody has said so for this lake and source yet.

    Returns:
        Counts of this round: due by reason before it, asked, accepted, rejected by reason.
    """
    store = Lake(lake)
    choice = retry_choice(reasons, hosts, now=now, also_final=also_final, archive=archive_fallback)
    if not store.exists(store.plan(source)):  # the schedule is older than the first ingest
        get_run_logger().info("retry %s: nothing has been planned yet in %s", source, store.url)
        return {"due": {}, "asked": 0, "accepted": 0, "rejected": {}}
    seen = image_stems(store, source)
    pending, due = due_for(store, source, choice)
    get_run_logger().info("retry %s: %d links are due: %s", source, len(pending), due)
    with web_for(store, source, links, connect_to) as web:
        address = ConnectTo.parse(web.connect_to) if web.connect_to else None
        if len(pending) and is_first_contact(store, source_named(source, store), web, allowed=allow_outside):
            record_consent(store, source, by=user_name(), told=str(forecast(pending["url"])))
        counts = await fetch_pending(
            store,
            source,
            web.links,
            address,
            pending,
            "archive" if archive_fallback else "retry",
            seen=seen,
            archive=choice.archive,
        )
    return {"due": due, **counts}
