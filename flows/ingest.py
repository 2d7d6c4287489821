"""Ingest: update the link files, select the links, and fetch those that were never requested.

Any number of runs may do so on one lake at the same time: each takes units that no other run has leased
(`storage.leases`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, get_run_logger
from pydantic import Field

from flows.settings import Settings, load_settings, user_name
from flows.synthetic_web import Web, web_for
from flows.tasks import fetch_task, links_task
from flows.telemetry import artifacts
from flows.telemetry.progress import Track, track
from flows.telemetry.tally import Tally
from storage.errors import UsageError
from storage.lake import Lake
from storage.leases import Lease, Leases
from storage.names import NAME
from storage.records import LINK_LINES, Attempt
from storage.tables import read_as, stamp, write_table
from storage.takedowns import read_forgotten
from tasks.fetch.consent import asks_outside, has_consent, record_consent, refusal
from tasks.fetch.fetch_unit import Transport
from tasks.fetch.folder_transport import FolderTransport
from tasks.fetch.forecast import forecast
from tasks.fetch.ledger import accepted, image_stems, left_of, pending_new, read_ledger, unit_name
from tasks.fetch.takedown_filter import GuardedTransport
from tasks.links.collect import LinksSummary, location_of
from tasks.links.list_source import open_source
from tasks.links.plan import plan
from tasks.links.sources import source_named
from tasks.links.sources.source import Source
from tasks.web.http import ConnectTo, open_web
from tasks.web.web_archive import ArchiveTransport

# vggface1, vggface2, synthetic, or the name of a list that is read by a recipe.
SourceName = Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]


@flow(name="ingest", flow_run_name="ingest {source}", persist_result=False)
async def ingest(
    lake: str,
    *,
    source: SourceName = "vggface1",
    links: str | None = None,
    identities: int | list[str] | None = None,
    per_identity: int | None = None,
    connect_to: str | None = None,
    allow_outside: bool = False,
    recipe: str | None = None,
) -> dict[str, Any]:
    """Fetch the pictures of a selection of people that have not been requested yet.

    Args:
        lake: folder or URL of the lake.
        source: source of the links.
        links: folder or archive of link files, URL of such an archive, or base URL of single files; for a source
            that is a folder of pictures, that folder; for a list, that file, its folder or its URL. None: the source's
            published location, or the list's location at the last run.
        identities: the number of people, from the first on, or their names; None for all.
        per_identity: the number of links per person, from the first on; None for all.
        connect_to: HOST:PORT that every request is sent to instead of its own host.
        allow_outside: consent to the lake's first contact with hosts outside this machine for this source.
        recipe: meaning of the columns of a list: a preset or a TOML file. None: the recipe that the lake keeps, the one
            named like the source, or a guess.

    Returns:
        Counts: lines, rejected lines, candidates; and of this run: asked, accepted, and rejected by reason.
    """
    store = Lake(lake)
    with web_for(store, source, links, connect_to, identities, per_identity) as web:
        address = ConnectTo.parse(web.connect_to) if web.connect_to else None
        chosen = open_source(store, source, web.links, recipe)
        is_first = is_first_contact(store, chosen, web, allowed=allow_outside)
        summary, candidates = await _plan(store, source, web.links, address, identities, per_identity, recipe)
        seen = image_stems(store, source)
        pending = pending_new(candidates, read_ledger(store, source, ["key"], stems=seen))
        if is_first:
            record_consent(store, source, by=user_name(), told=str(forecast(pending["url"])))
        counts = await fetch_pending(store, source, web.links, address, pending, "fetch", seen=seen)
    return {
        "lines": summary.num_accepted,
        "rejected_lines": summary.num_rejected,
        "candidates": len(candidates),
        **counts,
    }


def is_first_contact(lake: Lake, source: Source, web: Web, *, allowed: bool) -> bool:
    """Whether this run makes the first contact with hosts outside this machine for the source.

    Raises:
        UsageError: it does, without consent.
    """
    if not asks_outside(source, web.links, web.connect_to) or has_consent(lake, source.name):
        return False
    if not allowed:
        raise refusal(lake, source.name, f"the links of {location_of(source, web.links)}")
    return True


async def _plan(
    lake: Lake,
    source: str,
    links: str | None,
    connect_to: ConnectTo | None,
    identities: int | list[str] | None,
    per_identity: int | None,
    recipe: str | None,
) -> tuple[LinksSummary, pa.Table]:
    """Update the link lines and the candidates, one run at a time; the next run finds them up to date.

    A new lake needs no lease: a lease would create the lake and leave it behind if the links are refused.
    """

    async def planned() -> tuple[LinksSummary, pa.Table]:
        names = identities if isinstance(identities, list) else None
        summary = await links_task(lake, source, links, connect_to, names, recipe)
        candidates = plan(read_as(lake, lake.links(source, "lines.parquet"), LINK_LINES), identities, per_identity)
        write_table(lake, lake.plan(source), candidates, stamp=stamp(summary.digest, identities, per_identity))
        return summary, candidates

    if not lake.exists(lake.format_file):
        return await planned()
    with Leases(lake, "links", source, ["all"], good_for_s=load_settings().lease_s) as leases:
        async for lease in leases:
            with lease:
                found = await planned()
    return found


async def fetch_pending(
    lake: Lake,
    source: str,
    links: str | None,
    connect_to: ConnectTo | None,
    pending: pa.Table,
    name: str,
    *,
    seen: list[str],
    archive: bool = False,
) -> dict[str, Any]:
    """Fetch the pending candidates, or their copies in a web archive, one task per unit, and show the results.

    Args:
        seen: the image shards from which `pending` was computed; shards added later are checked per unit.
    """
    settings = load_settings()
    tally = Tally()
    if len(pending):
        async with open_transport(lake, source, links, connect_to, settings, archive=archive) as (transport, tally):
            guarded = GuardedTransport(transport, read_forgotten(lake, source))
            with track(name, len(pending), tally) as progress:
                await _fetch_units(lake, source, pending, seen, guarded, tally, progress, settings)
    outcomes = tally.outcomes
    rows = [{"outcome": word, "links": num} for word, num in outcomes.items()]
    artifacts.table(f"{name}-outcomes", rows or [{"outcome": "nothing to fetch", "links": 0}], f"{name} {source}")
    artifacts.markdown(f"{name}-pictures", f"## {name} {source}\n\n{_newest_pictures(lake, source)}\n")
    asked = sum(outcomes.values())
    get_run_logger().info("%s %s: %d requested, %d accepted", name, source, asked, tally.accepted)
    return {"asked": asked, "accepted": tally.accepted, "rejected": tally.rejected}


async def _fetch_units(
    lake: Lake,
    source: str,
    pending: pa.Table,
    seen: list[str],
    transport: Transport,
    tally: Tally,
    progress: Track,
    settings: Settings,
) -> None:
    units = pc.unique(pending["unit"]).to_pylist()
    in_flight = max(settings.concurrency // min(len(units), settings.units_at_once), 1)

    async def fetch_one(lease: Lease) -> None:
        def on_attempt(attempt: Attempt) -> None:
            lease.check()
            tally.add(attempt)
            progress.advance()

        with lease:
            started, unit = time.monotonic(), int(lease.unit)
            of_unit = pending.filter(pc.equal(pending["unit"], unit))
            mine = await asyncio.to_thread(left_of, lake, source, of_unit, seen)
            progress.skip(len(of_unit) - len(mine))
            if len(mine):
                await fetch_task(lake, source, unit, mine, transport, in_flight, on_attempt)
                progress.log("unit", unit=unit, links=len(mine), seconds=round(time.monotonic() - started, 1))

    names, at_once = [unit_name(unit) for unit in units], settings.units_at_once
    try:
        with Leases(lake, "fetch", source, names, good_for_s=settings.lease_s, at_once=at_once) as leases:
            async with asyncio.TaskGroup() as group:
                async for lease in leases:
                    group.create_task(fetch_one(lease))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


@asynccontextmanager
async def open_transport(
    lake: Lake,
    name: str,
    links: str | None,
    connect_to: ConnectTo | None,
    settings: Settings,
    *,
    archive: bool = False,
) -> AsyncIterator[tuple[Transport, Tally]]:
    """Open the transport that fetches this source's pictures, and the tally that counts them.

    Raises:
        UsageError: the source is a folder, and none is given or an archive is requested; or no archive is configured.
    """
    limits = settings.fetch_limits()
    source = source_named(name, lake)
    if source.transport == "folder":
        folder = links or source.location
        if folder is None or archive:
            raise UsageError(f"{name} is a folder of pictures: give it with --links, without --archive-fallback")
        # Pictures lie beside the list that names them.
        root = Path(folder).parent if Path(folder).is_file() else Path(folder)
        yield FolderTransport(root, limits.max_bytes), Tally()
        return
    async with open_web(limits, connect_to=connect_to, allowed=settings.networks(), contact=settings.contact) as web:
        yield ArchiveTransport(web, settings.archive_url) if archive else web, Tally(web.host_counts)


def _newest_pictures(lake: Lake, source: str) -> str:
    found = accepted(read_ledger(lake, source, ["outcome", "shard", "offset", "length", "fetched_at", "key"]))
    newest = found.sort_by([("fetched_at", "descending"), ("key", "ascending")]).slice(0, 24).to_pylist()
    members = [(f"{lake.images(source, row['shard'])}.tar", row["offset"], row["length"]) for row in newest]
    return artifacts.member_sheet(lake, members)
