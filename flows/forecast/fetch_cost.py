"""What fetching the pictures of a source would cost: requests, bytes, hours. Sends no request, and writes nothing.

The figures are those of the lake's own history where it has enough of it, and else those of the documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from flows.configuration.setting_groups import SettingValues, changed
from flows.configuration.settings import load_settings
from flows.selection import Selection
from flows.synthetic_size import synthetic_size
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.tables.stored_rows import StoredRows
from tasks.fetch.consent import contacts_outside, has_consent
from tasks.fetch.forecast import (
    DOCUMENTED,
    EARLIER_LINKS_PER_S,
    LOOPBACK_LINKS_PER_S,
    SHARE_ACCEPTED,
    busiest_host,
    links_by_host,
    own_rate,
)
from tasks.fetch.ledger import accepted, due, read_ledger
from tasks.fetch.never_asked import urls_never_asked
from tasks.links.collect import find_links, lines_found
from tasks.links.line_ids import distinct_words
from tasks.links.lines_in_lake import lines_in
from tasks.links.link_location import is_url, location_of
from tasks.links.link_server import LinkLimits
from tasks.links.list_source import open_source
from tasks.links.sources.source import Source


@dataclass(frozen=True, slots=True)
class FetchCost:
    """The requests of one source.

    Attributes:
        people: selected.
        links: to be requested; `done` were requested before, and `due` of these are due for retry.
        hosts: of the links; None if these are generated only when the run begins.
        busiest: the host with the most links, their number, and the hours they take at the limit of a host's rate.
        num_bytes: to receive.
        hours: at the author's rate, unless the pictures are in a folder, and at the measured one.
        measured_by: where the measured rate comes from.
        share_accepted: the share of links expected to bring a picture.
        is_outside: whether requests leave this machine; `has_consent`, whether somebody has agreed to that.
    """

    source: str
    people: int
    links: int
    done: int
    due: int
    hosts: int | None
    busiest: dict[str, Any] | None
    num_bytes: int
    hours: dict[str, float]
    measured_by: str
    share_accepted: float
    is_outside: bool
    has_consent: bool


def fetch_cost(lake: Lake, selection: Selection, settings: SettingValues) -> FetchCost:
    """The requests for one source.

    Raises:
        UsageError: the links are on a server, and not in the lake yet.
    """
    source = open_source(lake, selection.source, selection.links, selection.recipe)
    columns = ["key", "outcome", "reason", "next_try", "fetched_at", "received_bytes"]
    ledger = read_ledger(lake, source.name, columns)
    lines = _lines(lake, source, selection, settings)
    if lines is None:
        people, each = synthetic_size(selection.identities, selection.per_identity)
        return _cost(lake, source, selection, settings, ledger, people=people, links=people * each, hosts=None)
    hosts = links_by_host(urls_never_asked(lines, ledger, selection.identities, selection.per_identity))
    people = _num_people(lines, selection.identities)
    return _cost(lake, source, selection, settings, ledger, people=people, links=hosts.total(), hosts=hosts)


def _num_people(lines: StoredRows, identities: int | list[str] | None) -> int:
    if isinstance(identities, list):
        return len(identities)
    found = len(distinct_words(lines.table(["identity"])["identity"])[0])
    return found if identities is None else min(found, identities)


def _lines(lake: Lake, source: Source, selection: Selection, settings: SettingValues) -> StoredRows | None:
    """The link lines of the selection, from this machine alone."""
    stored = lake.links(source.name, "lines.parquet")
    if source.name == "synthetic" and selection.links is None:
        is_same = selection.identities is None and selection.per_identity is None and lake.exists(stored)
        return lines_in(lake, source.name) if is_same else None
    where = location_of(source, selection.links)
    if is_url(where):
        if lake.exists(stored):
            return lines_in(lake, source.name)
        raise UsageError(
            f"the links of {source.name} are at {where}, and --dry-run sends no request: download them, and name the "
            "file or folder with --links"
        )
    limits = changed(LinkLimits(), "links", settings)
    found = asyncio.run(find_links(lake, source, where, identities=selection.names, limits=limits))
    return lines_found(lake, source, found)


def _cost(
    lake: Lake,
    source: Source,
    selection: Selection,
    settings: SettingValues,
    ledger: pa.Table,
    *,
    people: int,
    links: int,
    hosts: Mapping[str, int] | None,
) -> FetchCost:
    own = own_rate(ledger)
    rate = own or DOCUMENTED
    measured_per_s = own.fastest_per_s if own else LOOPBACK_LINKS_PER_S
    busiest = busiest_host(hosts) if hosts is not None else None
    per_s = changed(load_settings().fetch_limits(), "fetch", settings).per_host_per_s
    is_folder = source.transport == "folder"
    share = 1.0 if is_folder else len(accepted(ledger)) / len(ledger) if own else SHARE_ACCEPTED
    is_outside = contacts_outside(source, selection.links, selection.connect_to)
    return FetchCost(
        source=source.name,
        people=people,
        links=links,
        done=len(ledger),
        due=len(due(ledger, datetime.now(UTC))),
        hosts=0 if is_folder else None if hosts is None else len(hosts),
        busiest=_busiest(*busiest, per_s) if busiest else None,
        num_bytes=round(links * rate.bytes_per_link),
        hours={
            **({} if is_folder else {"author": links / EARLIER_LINKS_PER_S / 3600}),
            "measured": links / measured_per_s / 3600,
        },
        measured_by=f"this lake's {len(ledger):,} links so far" if own else "6,000 links on loopback",
        share_accepted=share,
        is_outside=is_outside,
        has_consent=is_outside and has_consent(lake, source.name),
    )


def _busiest(host: str, requests: int, per_s: float) -> dict[str, Any]:
    return {"host": host, "requests": requests, "per_s": per_s, "least_hours": requests / per_s / 3600}
