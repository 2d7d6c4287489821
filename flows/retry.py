"""Retry: fetch the failed links that are due."""

from __future__ import annotations

from functools import partial
from typing import Any

from flows.configuration.setting_groups import SettingValues, check_settings
from flows.ingest import agree_to_contact, fetch_pending, is_first_contact
from flows.runs.engine import flow, run_logger
from flows.selection import Selection, SourceNames
from flows.status import due_for, retry_choice
from flows.synthetic_web import web_for
from flows.telemetry.counters import DUE
from storage.files.lake import Lake
from tasks.fetch.ledger import image_stems
from tasks.links.sources import source_named


@flow(name="retry", flow_run_name="retry {source}")
async def retry(
    lake: str,
    *,
    source: SourceNames = "vggface1",
    links: str | None = None,
    connect_to: str | None = None,
    reasons: list[str] | None = None,
    hosts: list[str] | None = None,
    now: bool = False,
    archive_fallback: bool = False,
    also_final: bool = False,
    allow_outside: bool = False,
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """Fetch the failed links whose retry time has come.

    Which reasons are retried is defined in `storage/records.py`, the delays in `tasks/fetch/ledger.py`.

    Args:
        lake: folder or URL of the lake.
        source: source of the links, or several, `a,b`, one after the other.
        links: as for `ingest`; used if the source is a folder.
        connect_to: HOST:PORT that every request is sent to instead of its own host.
        reasons: only links that failed for these reasons.
        hosts: only links on these hosts.
        now: also links whose retry time has not come yet.
        archive_fallback: fetch links that are gone from the web archive at FACEMILL_ARCHIVE_URL instead.
        also_final: also final failures, which are not retried otherwise.
        allow_outside: consent to the lake's first contact with hosts outside this machine for this source.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        Counts of this round: due by reason beforehand, asked, accepted, and rejected by reason. Of several sources,
        `sources` with the counts of each.
    """
    if len(several := Selection(source, links).sources) > 1:
        each = partial(retry, lake, connect_to=connect_to, reasons=reasons, hosts=hosts, now=now)
        each = partial(each, archive_fallback=archive_fallback, also_final=also_final)
        each = partial(each, allow_outside=allow_outside, settings=settings)
        return {"sources": {one: await each(source=one) for one in several}}
    store, settings = Lake(lake), check_settings(settings, "retry")
    choice = retry_choice(reasons, hosts, now=now, also_final=also_final, archive=archive_fallback)
    if not store.exists(store.plan(source)):  # scheduled before the first ingest
        run_logger().info("retry %s: nothing has been planned yet in %s", source, store.url)
        return {"due": {}, "asked": 0, "accepted": 0, "rejected": {}}
    with store.listing_once():
        seen = image_stems(store, source)
        pending, due = due_for(store, source, choice)
    DUE.labels(source).set(len(pending))
    run_logger().info("retry %s: %d links are due: %s", source, len(pending), due)
    with web_for(store, Selection(source, links, connect_to=connect_to)) as web:
        if len(pending) and is_first_contact(store, source_named(source, store), web):
            agree_to_contact(store, source, pending, allowed=allow_outside)
        counts = await fetch_pending(
            store,
            web,
            pending,
            "archive" if archive_fallback else "retry",
            seen=seen,
            settings=settings,
            archive=choice.archive,
        )
    return {"due": due, **counts}
