"""Consent to send requests to hosts outside this machine for a source of a lake; it must be given once.

links/<source>/consent.json     time, user, and the forecast shown to them
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import pyarrow.compute as pc

from storage.errors import UsageError
from storage.files.lake import Lake
from tasks.fetch.ledger import read_ledger
from tasks.links.sources.source import Source
from tasks.web.http import ConnectTo


def contacts_outside(source: Source, links: str | None, connect_to: str | None) -> bool:
    """Whether a run's requests leave this machine; False for a folder, a synthetic dataset, or a loopback address.

    Args:
        links: the requested location of the links.
        connect_to: HOST:PORT that receives all requests, if set.
    """
    if source.transport == "folder" or (source.name == "synthetic" and links is None):
        return False
    return connect_to is None or not _is_loopback(ConnectTo.parse(connect_to).host)


def has_consent(lake: Lake, source: str) -> bool:
    """Whether consent was given, or an older lake already has responses of outside hosts."""
    if lake.exists(lake.links(source, "consent.json")):
        return True
    rows = read_ledger(lake, source, ["key", "address", "http_status"])
    is_older = pc.and_(pc.is_null(rows["address"]), pc.is_valid(rows["http_status"]))
    addresses = pc.unique(rows["address"].drop_null()).to_pylist()
    return bool(pc.any(is_older).as_py()) or not all(map(_is_loopback, addresses))


def record_consent(lake: Lake, source: str, *, by: str, told: str) -> None:
    """Record the consent for all later runs.

    Args:
        by: the user's name.
        told: the forecast that was shown to the user.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    lake.write_json(lake.links(source, "consent.json"), {"at": at, "by": by, "told": told})


def refusal(lake: Lake, source: str, told: str) -> UsageError:
    """The error for a first contact without consent."""
    return UsageError(
        f"{lake.url} has sent no request outside this machine for {source} yet, and would now request {told}: confirm "
        "with --yes (in a deployment, the parameter `allow_outside`); later runs do not ask again"
    )


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
