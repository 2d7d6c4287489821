"""Ingest: update the link files, select the links, and fetch those that were never requested.

Any number of runs may do so on one lake at the same time: they divide the hosts (`flows.runs.fetch_round`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.configuration.setting_groups import SettingValues, changed, check_settings
from flows.configuration.settings import load_settings, user_name
from flows.runs.engine import flow, run_logger
from flows.runs.fetch_round import HeldHosts, HostRound, Work, fetch_by_unit
from flows.runs.table_merger import TableMerger
from flows.selection import Selection, SourceNames
from flows.synthetic_web import web_for
from flows.tasks import links_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from flows.telemetry.tally import Tally
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.leases.leases import Leases
from storage.records import CANDIDATES, LINK_LINES
from storage.stamps.cached_results import table_states
from storage.tables.parquet import read_as, read_blocks, stamp, write_blocks
from storage.versions.takedowns import read_forgotten
from tasks.fetch.asked_links import Planned, keep_planned, plan_state, read_planned
from tasks.fetch.consent import contacts_outside, has_consent, record_consent, refusal
from tasks.fetch.fetch_unit import Transport
from tasks.fetch.folder_transport import FolderTransport
from tasks.fetch.forecast import forecast, links_by_host
from tasks.fetch.ledger import accepted, image_stems, nothing_pending, read_ledger
from tasks.fetch.links_by_slice import LinksBySlice
from tasks.fetch.never_asked import read_never_asked
from tasks.fetch.packed_transport import PackedTransport
from tasks.fetch.rare_collections import collect_rarely
from tasks.fetch.takedown_filter import GuardedTransport
from tasks.images.sandbox import Limits
from tasks.images.validate import ImageLimits
from tasks.images.validation_pool import ValidationPool
from tasks.links.collect import LinksSummary
from tasks.links.link_location import is_url, location_of
from tasks.links.link_server import LinkLimits
from tasks.links.list_source import open_source
from tasks.links.plan import OF_CANDIDATES, OF_CHOICE, choose, plan_blocks
from tasks.links.sources import source_named
from tasks.links.sources.source import Source
from tasks.maintenance.merge import gather_images, merge_images
from tasks.web.hosts import HostRules
from tasks.web.http import open_web
from tasks.web.web_archive import ArchiveTransport, archive_host


@flow(name="ingest", flow_run_name="ingest {source}")
async def ingest(
    lake: str,
    *,
    source: SourceNames = "vggface1",
    links: str | None = None,
    identities: int | list[str] | None = None,
    per_identity: int | None = None,
    connect_to: str | None = None,
    allow_outside: bool = False,
    recipe: str | None = None,
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """Fetch the pictures of a selection of people that have not been requested yet.

    Args:
        lake: folder or URL of the lake.
        source: source of the links, or several, `a,b`, one after the other.
        links: folder or archive of link files, URL of such an archive, or base URL of single files; for a source
            that is a folder of pictures, that folder; for a list, that file, its folder or its URL. None: the source's
            published location, or the list's location at the last run.
        identities: the number of people, from the first on, or their names; None for all.
        per_identity: the number of links per person, from the first on; None for all.
        connect_to: HOST:PORT that every request is sent to instead of its own host.
        allow_outside: consent to the lake's first contact with hosts outside this machine for this source.
        recipe: meaning of the columns of a list: a preset or a TOML file. None: the recipe that the lake keeps, the one
            named like the source, or a guess.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        Counts: lines, rejected lines, candidates; and of this run: asked, accepted, and rejected by reason. Of several
        sources, `sources` with the counts of each.
    """
    selection = Selection(source, links, recipe, identities, per_identity, connect_to)
    if len(selection.sources) > 1:
        each = partial(ingest, lake, identities=identities, per_identity=per_identity, connect_to=connect_to)
        each = partial(each, allow_outside=allow_outside, settings=settings)
        return {"sources": {one: await each(source=one) for one in selection.sources}}
    store, settings = Lake(lake), check_settings(settings, "ingest")
    with web_for(store, selection) as web:
        chosen = open_source(store, source, web.links, recipe)
        is_first = is_first_contact(store, chosen, web)
        if is_first and not allow_outside and is_url(where := location_of(chosen, web.links)):
            raise refusal(store, source, f"the links of {where}")
        planned = await _plan(store, web, settings)
        if is_first and len(planned.pending):
            agree_to_contact(store, source, planned.pending, allowed=allow_outside)
        counts = await fetch_pending(store, web, planned.pending, "fetch", seen=planned.seen, settings=settings)
    return {
        "lines": planned.summary.num_accepted,
        "rejected_lines": planned.summary.num_rejected,
        "candidates": planned.num_candidates,
        **counts,
    }


def is_first_contact(lake: Lake, source: Source, web: Selection) -> bool:
    """Whether a request of this run is the first contact with hosts outside this machine for the source."""
    return contacts_outside(source, web.links, web.connect_to) and not has_consent(lake, source.name)


def agree_to_contact(lake: Lake, source: str, pending: pa.Table, *, allowed: bool) -> None:
    """Record the consent to the first contact, by a forecast of the pending requests.

    Raises:
        UsageError: it is not allowed.
    """
    estimate = str(forecast(links_by_host([pending["url"]])))
    if not allowed:
        raise refusal(lake, source, estimate)
    record_consent(lake, source, by=user_name(), told=estimate)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The links of a run: those that were never requested by the shards that it has seen are pending."""

    summary: LinksSummary
    num_candidates: int
    seen: list[str]
    pending: pa.Table


async def _plan(lake: Lake, web: Selection, settings: SettingValues) -> _Plan:
    """Update the link lines and the candidates, one run at a time; the next run finds them up to date.

    The pending links are read before the next run, which may have another selection, writes its plan. A new lake needs
    no lease: a lease would create the lake and leave it behind if the links are refused.
    """

    async def planned() -> _Plan:
        summary = await links_task(lake, web, changed(LinkLimits(), "links", settings))
        with lake.listing_once():
            return _planned(lake, web, summary)

    if not lake.exists(lake.format_file):
        return await planned()
    with Leases(lake, "links", web.source, ["all"], good_for_s=load_settings().lease_s) as leases:
        async for lease in leases:
            with lease:
                found = await planned()
    return found


def _planned(lake: Lake, web: Selection, summary: LinksSummary) -> _Plan:
    """The links of the plan in the lake if it is up to date, else of a new one."""
    state = plan_state(lake, web.source, web.identities, web.per_identity)
    known = read_planned(lake, web.source, state)
    if known is None:
        known = Planned(_write_plan(lake, web, summary))
        state = plan_state(lake, web.source, web.identities, web.per_identity)
        keep_planned(lake, web.source, state, known)
    seen = image_stems(lake, web.source)
    is_asked = known.is_asked(lake, web.source)
    pending = nothing_pending() if is_asked else _never_asked(lake, web.source, state, known.num_candidates, seen)
    return _Plan(summary, known.num_candidates, seen, pending)


def _write_plan(lake: Lake, web: Selection, summary: LinksSummary) -> int:
    """Plan the lines in the lake; returns the number of candidates."""
    lines = lake.links(web.source, "lines.parquet")
    chosen = choose(read_as(lake, lines, LINK_LINES, OF_CHOICE), web.identities, web.per_identity)
    blocks = plan_blocks(chosen, read_blocks(lake, lines, LINK_LINES, OF_CANDIDATES))
    inputs = stamp(summary.digest, web.identities, web.per_identity)
    return write_blocks(lake, lake.plan(web.source), CANDIDATES, blocks, stamp=inputs)


def _never_asked(lake: Lake, source: str, state: str, num_candidates: int, seen: list[str]) -> pa.Table:
    """The links of a plan that were never requested.

    Args:
        state: of the plan, which is kept as asked if there are none.
        seen: the shards to look at.
    """
    shards = table_states(lake, lake.images(source))
    pending = read_never_asked(lake, source, seen)
    if not len(pending):
        known = {stem: shards[stem] for stem in seen if stem in shards}
        keep_planned(lake, source, state, Planned(num_candidates, known))
    return pending


async def fetch_pending(
    lake: Lake,
    web: Selection,
    pending: pa.Table,
    name: str,
    *,
    seen: list[str],
    settings: SettingValues,
    archive: bool = False,
) -> dict[str, Any]:
    """Fetch the pending candidates, or their copies in a web archive, one task per unit, and show the results.

    Args:
        seen: the image shards from which `pending` was computed; shards added later are checked per unit.
    """
    source, tally = web.source, Tally()
    if len(pending):
        collect_rarely()
        hosts = HeldHosts()
        async with open_transport(lake, web, settings, hosts, archive=archive) as (transport, tally):
            guarded = GuardedTransport(transport, partial(read_forgotten, lake, source))
            checks = ValidationPool(changed(ImageLimits(), "images", settings), changed(Limits(), "decode", settings))
            with (
                track(name, len(pending), tally) as progress,
                TableMerger(partial(merge_images, lake, source), progress) as merger,
            ):
                work = Work(lake, source, seen, guarded, checks, tally, progress, merger)
                await _fetch(work, pending, hosts, settings, archive=archive)
    await asyncio.to_thread(gather_images, lake, source)
    outcomes = tally.outcomes
    rows = [{"outcome": word, "links": num} for word, num in outcomes.items()]
    artifacts.table(
        f"{name}-outcomes",
        rows or [{"outcome": "nothing to fetch", "links": 0}],
        f"{name} {source}: outcomes of this run",
    )
    requested = sum(outcomes.values())
    pictures = f"The newest pictures of {source}"
    if requested:
        page = partial(_newest_pictures, lake, source, pictures)
        artifacts.markdown(f"{name}-pictures", page, pictures)
    run_logger().info("%s %s: %d requested, %d accepted", name, source, requested, tally.accepted)
    return {"asked": requested, "accepted": tally.accepted, "rejected": tally.rejected}


async def _fetch(work: Work, pending: pa.Table, hosts: HeldHosts, settings: SettingValues, *, archive: bool) -> None:
    if source_named(work.source, work.lake).transport == "folder":
        await fetch_by_unit(work, pending)
        return
    machine = load_settings()
    links = LinksBySlice(pending, archive_host(machine.archive_url) if archive else "")
    limits = changed(machine.fetch_limits(), "fetch", settings)
    await HostRound(work, hosts, links, per_host_per_s=limits.per_host_per_s).fetch()


@asynccontextmanager
async def open_transport(
    lake: Lake, web: Selection, settings: SettingValues, hosts: HeldHosts, *, archive: bool = False
) -> AsyncIterator[tuple[Transport, Tally]]:
    """Open the transport that fetches this source's pictures, and the tally that counts them.

    Args:
        hosts: knows which hosts this run may request.

    Raises:
        UsageError: the source is a folder, and none is given or an archive is requested; or no archive is configured.
    """
    machine = load_settings()
    limits = changed(machine.fetch_limits(), "fetch", settings)
    source = source_named(web.source, lake)
    if source.transport == "folder":
        folder = web.links or source.location
        if folder is None or archive:
            raise UsageError(f"{source.name} is a folder of pictures: give it with --links, without --archive-fallback")
        # Pictures lie beside the list that names them.
        root = Path(folder).parent if Path(folder).is_file() else Path(folder)
        image = (source.recipe or {}).get("image")
        if image is None:
            yield FolderTransport(root, limits.max_bytes), Tally()
        else:
            yield PackedTransport(root, image, limits.max_bytes), Tally()
        return
    async with open_web(
        limits,
        hosts=changed(HostRules(), "hosts", settings),
        connect_to=web.address,
        allowed=machine.networks(),
        contact=machine.contact,
        is_mine=hosts.is_mine,
    ) as transport:
        counted = Tally(transport.host_counts)
        yield ArchiveTransport(transport, machine.archive_url) if archive else transport, counted


def _newest_pictures(lake: Lake, source: str, title: str) -> str:
    found = accepted(read_ledger(lake, source, ["outcome", "shard", "offset", "length", "fetched_at", "key"]))
    newest = found.sort_by([("fetched_at", "descending"), ("key", "ascending")]).slice(0, 24).to_pylist()
    members = [(f"{lake.images(source, row['shard'])}.tar", row["offset"], row["length"]) for row in newest]
    return f"## {title}\n\n{artifacts.member_sheet(lake, members)}\n"
