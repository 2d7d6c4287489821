"""Record takedown requests. The coverage is counted first and recorded with the request.

A URL or a name covers links; the pictures these links served are recorded by their digests, so that the same bytes at
another link are covered too. Near copies, resized or encoded anew, are covered on request. All these links are recorded
themselves, so that they stay covered when a list gives them to another name or leaves them out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.records import Takedown, TakedownKind, identity_key, url_key
from storage.text.encodings import read_text
from storage.versions.datasets import all_versions
from storage.versions.takedowns import (
    COVERED_BY,
    Forgotten,
    about,
    covered_samples,
    read_lines,
    record,
    with_their_links,
)
from tasks.dataset.find_duplicates import verdicts_now
from tasks.fetch.ledger import accepted, read_ledger


@dataclass(frozen=True, slots=True)
class TakedownRequest:
    """A takedown request. `source` narrows the names to one source."""

    urls: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    digests: tuple[bytes, ...] = ()
    source: str | None = None
    near_copies: bool = False
    note: str = ""

    def in_source(self, source: str) -> Forgotten:
        """The request as it applies to one source, before names are matched."""
        counts = self.source in (None, source)
        return Forgotten(
            frozenset(map(url_key, self.urls)),
            frozenset(self.digests),
            frozenset(map(identity_key, self.names)) if counts else frozenset(),
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is covered in one source.

    Attributes:
        num_people: requested names that a line has.
        num_lines: their lines.
        num_links: distinct URLs that will not be requested.
        num_pictures: pictures in the lake not yet taken down, at these links or, byte for byte the same, at others.
        num_elsewhere: of these, at other links.
        num_near: near copies of them at other links; None if not requested, and then not covered.
        keys: of these links, of links that redirected to them, and of those of the pictures.
        digests: of the pictures.
        people: the requested ones, by `records.identity_key`.
    """

    source: str
    num_people: int
    num_lines: int
    num_links: int
    num_pictures: int
    num_elsewhere: int
    num_near: int | None
    keys: frozenset[bytes] = field(repr=False)
    digests: frozenset[bytes] = field(repr=False)
    people: frozenset[bytes] = field(repr=False)

    def counts(self) -> dict[str, Any]:
        """The counts, as JSON."""
        return {name: value for name, value in asdict(self).items() if name not in {"keys", "digests", "people"}}


def coverage(lake: Lake, request: TakedownRequest) -> list[Coverage]:
    """The coverage of a takedown by source; nothing is recorded."""
    return [_coverage(lake, source, request) for source in lake.names("links")]


def samples_covered(lake: Lake, request: TakedownRequest, covered: list[Coverage]) -> dict[str, int]:
    """The number of samples that each dataset version would lose, for versions that lose any."""
    digests = frozenset[bytes]().union(*(one.digests for one in covered))
    counts = {}

    @cache
    def wanted_in(source: str) -> Forgotten:
        wanted, lines = request.in_source(source), read_lines(lake, source, ["identity", "key"])
        return with_their_links(replace(wanted, digests=wanted.digests | digests), lines)

    for version in all_versions(lake):
        counts[str(version)] = pc.sum(covered_samples(version.whole_index(COVERED_BY), wanted_in)).as_py() or 0
    return {version: num for version, num in counts.items() if num}


def unknown_names(request: TakedownRequest, covered: list[Coverage]) -> list[str]:
    """The requested names without a link line."""
    known = frozenset[bytes]().union(*(one.people for one in covered))
    return [name for name in request.names if identity_key(name) not in known]


def forget(lake: Lake, request: TakedownRequest, covered: list[Coverage]) -> str:
    """Record the takedowns, with the links and digests of what is covered; returns the path of the new file."""
    now = datetime.now(UTC)
    digests = set(request.digests).union(*(one.digests for one in covered))
    urls = list(map(url_key, request.urls))
    targets: list[tuple[TakedownKind, bytes, str | None]] = [(TakedownKind.URL, key, None) for key in urls]
    targets += [(TakedownKind.IDENTITY, identity_key(name), request.source) for name in request.names]
    targets += [(TakedownKind.URL, key, one.source) for one in covered for key in sorted(one.keys.difference(urls))]
    targets += [(TakedownKind.DIGEST, digest, None) for digest in sorted(digests)]
    return record(lake, [Takedown(kind, target, source, now, request.note) for kind, target, source in targets])


def read_request(path: Path) -> TakedownRequest:
    """Read a takedown request: lines of `url URL`, `identity NAME` or `digest HEX`; others may start with `#`.

    Raises:
        UsageError: the file cannot be read, or a line is none of these.
    """
    lines = read_text(path).split("\n")
    found: dict[str, list[str]] = {kind.value: [] for kind in TakedownKind}
    for number, line in enumerate(lines, 1):
        kind, _, target = line.strip().partition(" ")
        if not kind or kind.startswith("#"):
            continue
        if kind not in found or not target.strip():
            raise UsageError(
                f"--file {path} line {number}: {line[:80]!r} must be `url URL`, `identity NAME` or `digest HEX`"
            )
        found[kind].append(target.strip())
    return TakedownRequest(tuple(found["url"]), tuple(found["identity"]), tuple(map(parse_digest, found["digest"])))


def parse_digest(text: str) -> bytes:
    """The 32 bytes of a SHA-256 given in hex.

    Raises:
        UsageError: it is not one.
    """
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise UsageError(
            f"a digest is the SHA-256 of a picture's bytes, 64 hex digits; {text!r} has {len(text)} characters"
        )
    return digest


def _coverage(lake: Lake, source: str, request: TakedownRequest) -> Coverage:
    wanted = request.in_source(source)
    lines = read_lines(lake, source, ["identity", "key"])
    theirs = lines.filter(about(lines, wanted.people))
    wanted = with_their_links(wanted, lines)
    ledger = read_ledger(lake, source, ["key", "outcome", "digest", "url", "final_url"])
    wanted = replace(wanted, keys=wanted.keys | _redirected(ledger, wanted.keys))
    pictures = accepted(ledger)
    at_links = replace(wanted, digests=frozenset()).rows(pictures)
    served = wanted.digests.union(pictures["digest"].filter(at_links).to_pylist())
    covered = Forgotten(wanted.keys, served).rows(pictures)
    copies, num_near = pictures.filter(covered), None
    if request.near_copies:
        near = pictures.filter(pc.and_(pc.invert(covered), _near_copies(lake, source, pictures, covered)))
        num_near = len(near)
        copies = pa.concat_tables([copies, near])
    people = frozenset(map(identity_key, pc.unique(theirs["identity"].cast(pa.string())).to_pylist()))
    return Coverage(
        source=source,
        num_people=len(people),
        num_lines=len(theirs),
        num_links=len(_links(lines, wanted)),
        num_pictures=pc.sum(covered).as_py() or 0,
        num_elsewhere=pc.sum(pc.and_(covered, pc.invert(at_links))).as_py() or 0,
        num_near=num_near,
        keys=wanted.keys.union(copies["key"].to_pylist()),
        digests=frozenset(copies["digest"].to_pylist()),
        people=people,
    )


def _redirected(ledger: pa.Table, keys: frozenset[bytes]) -> frozenset[bytes]:
    """The links that were redirected to one of `keys`."""
    elsewhere = ledger.filter(pc.fill_null(pc.not_equal(ledger["url"], ledger["final_url"]), False))
    ends = zip(elsewhere["key"].to_pylist(), elsewhere["final_url"].to_pylist(), strict=True)
    return frozenset(key for key, end in ends if url_key(end) in keys)


def _links(lines: pa.Table, wanted: Forgotten) -> pa.ChunkedArray:
    """The distinct keys among `lines` that are covered."""
    return pc.unique(lines["key"].filter(wanted.rows(lines)))


def _near_copies(lake: Lake, source: str, pictures: pa.Table, covered: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each picture is in a cluster of copies with a covered one, as in deduplication."""
    if not lake.exists(lake.plan(source)) or not pc.any(covered).as_py():
        return pa.chunked_array([pa.array([False] * len(pictures), pa.bool_())])
    verdicts = verdicts_now(lake, source).select(["key", "cluster"])
    is_covered = pc.is_in(verdicts["key"], value_set=pictures["key"].filter(covered).combine_chunks())
    clusters = pc.unique(verdicts["cluster"].filter(is_covered))
    copies = verdicts["key"].filter(pc.is_in(verdicts["cluster"], value_set=clusters))
    return pc.is_in(pictures["key"], value_set=copies.combine_chunks())
