"""Collect the link lines of a source into the lake: from a folder, an archive, or a server of link files.

    links/<source>/lines.parquet      records.LINK_LINES, by identity and line
    links/<source>/rejected.parquet   records.REJECTED_LINES; lines read = lines + rejected
    links/<source>/recipe.json        the meaning of a list's columns, if it is read by a recipe
    links/<source>/origin.json        written last: location, ETags, counts and digests

Nothing is written before everything has been read, so a failed collection leaves the previous one unchanged.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from yarl import URL

from storage.errors import SourceError
from storage.files.lake import Lake
from storage.records import LINK_LINES, REJECTED_LINES
from storage.tables.digests import digest_of_lines, table_digest
from storage.tables.parquet import read_as, read_stamp, stamp, write_table
from storage.tables.stored_rows import StoredRows
from tasks.links.lines_in_lake import lines_in
from tasks.links.link_location import COUNTS, is_url, location_of, read_origin
from tasks.links.link_server import Etags, LinkLimits, LinkServer, identities_below, open_link_server
from tasks.links.sources.source import IdentityLines, Source, SourceLines, assembled, renewed
from tasks.web.http import USER_AGENT, ConnectTo

# Increased when link files are parsed differently than before, so that unchanged files are read again.
_RULES = 2
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


@dataclass(frozen=True, slots=True)
class LinksSummary:
    """The counts of a collection; `num_lines` = `num_accepted` + `num_rejected`.

    Attributes:
        changed: the lines differ from those stored before, or there were none.
        digest: of accepted and rejected lines.
    """

    source: str
    location: str
    changed: bool
    digest: str
    num_files: int
    num_lines: int
    num_accepted: int
    num_rejected: int


@dataclass(frozen=True, slots=True)
class FoundLinks:
    """The content of a location, read but not yet written.

    Attributes:
        lines: None if the lake already has them.
        origin: the new content of `origin.json`; None if it is unchanged.
    """

    summary: LinksSummary
    lines: SourceLines | None
    origin: dict[str, Any] | None


async def collect_links(lake: Lake, source: Source, location: str | None = None, **options: Any) -> LinksSummary:
    """Read the link lines of a source into the lake, replacing those stored before.

    Arguments and errors are those of `find_links`.
    """
    found = await find_links(lake, source, location, **options)
    await asyncio.to_thread(keep_links, lake, source, found)
    return found.summary


async def find_links(
    lake: Lake,
    source: Source,
    location: str | None = None,
    *,
    connect_to: ConnectTo | None = None,
    identities: Collection[str] | None = None,
    on_progress: Callable[[int], None] | None = None,
    user_agent: str = USER_AGENT,
    limits: LinkLimits = LinkLimits(),
) -> FoundLinks:
    """Read the link lines of a source without writing. Unchanged files are not read again.

    Args:
        location: a folder or tar archive on disk, the URL of a tar archive, or the URL of a folder of
            `<Identity>.txt` files with an index page; None for the source's own.
        connect_to: send every request to this address.
        identities: the names to collect; None for all. Below a URL, the index page is then not requested.
        on_progress: called with the number of link files done so far.
        user_agent: the User-Agent of the requests.

    Raises:
        SourceError: the location is not of the expected kind, or has no usable line.
        LinksUnavailable: the link files could not be fetched.
    """
    where = location_of(source, location)
    wanted = sorted(set(identities)) if identities is not None else None
    stored = _stored_origin(lake, source)
    request: dict[str, Any] = {"location": where, "identities": wanted, "rules": _RULES}
    if source.recipe is not None:
        request["recipe"] = source.recipe
    known = stored if request.items() <= stored.items() else {}
    asked = _Asked(lake, source, where, wanted, known, on_progress)
    if is_url(where):
        async with open_link_server(connect_to, user_agent, limits) as server:
            is_archive = source.recipe is not None or URL(where).path.endswith(_ARCHIVES)
            found = await (_fetch_archive(server, asked) if is_archive else _fetch_files(server, asked))
    else:
        found = await asyncio.to_thread(_read_local, asked, Path(where), {})
    if found.lines is not None:
        _check_usable(found.lines, where)
    counts = _counts(found.lines) if found.lines else {name: known[name] for name in COUNTS}
    if on_progress:
        on_progress(counts["num_files"])
    changed = counts["digest"] != stored.get("digest")
    origin = {**request, **counts, "etags": found.etags, "content": found.content}
    return FoundLinks(
        LinksSummary(source=source.name, location=where, changed=changed, **counts),
        found.lines if changed else None,
        None if origin.items() <= stored.items() else origin,
    )


def keep_links(lake: Lake, source: Source, found: FoundLinks) -> None:
    """Write the changes to the lake, `origin.json` last."""
    if found.origin is not None:
        _write(lake, source, found.lines, found.origin)


def lines_found(lake: Lake, source: Source, found: FoundLinks) -> StoredRows:
    """The lines, `records.LINK_LINES`, those in the lake if they were not changed."""
    return StoredRows.of(found.lines.lines) if found.lines else lines_in(lake, source.name)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The collection to make; `known` is the stored origin if it has the same parameters, else empty."""

    lake: Lake
    source: Source
    where: str
    wanted: list[str] | None
    known: dict[str, Any]
    on_progress: Callable[[int], None] | None


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of reading; `lines` is None if nothing changed."""

    lines: SourceLines | None
    etags: Etags
    content: str


# -- the lake --


def _stored_origin(lake: Lake, source: Source) -> dict[str, Any]:
    """The stored origin; empty if there is none, or if a write was interrupted."""
    path = lake.links(source.name, "origin.json")
    if not lake.exists(path):
        return {}
    origin = read_origin(lake, source.name)
    tables = [lake.links(source.name, name) for name in ("lines.parquet", "rejected.parquet")]
    return origin if all(read_stamp(lake, table) == origin.get("digest") for table in tables) else {}


def _write(lake: Lake, source: Source, lines: SourceLines | None, origin: dict[str, Any]) -> None:
    if lines is not None:
        write_table(lake, lake.links(source.name, "lines.parquet"), lines.lines, stamp=origin["digest"])
        write_table(lake, lake.links(source.name, "rejected.parquet"), lines.rejected, stamp=origin["digest"])
    if source.recipe is not None:
        lake.write_json(lake.links(source.name, "recipe.json"), source.recipe)
    collected_at = datetime.now(UTC).isoformat(timespec="seconds")
    lake.write_json(lake.links(source.name, "origin.json"), {**origin, "collected_at": collected_at})


def lines_digest(lines: pa.Table, rejected: pa.Table) -> str:
    """The digest of a source's lines, stored in `origin.json` and in the stamps of both tables."""
    return stamp(digest_of_lines(lines), table_digest(rejected))


def _counts(lines: SourceLines) -> dict[str, Any]:
    return {
        "digest": lines_digest(lines.lines, lines.rejected),
        "num_files": lines.num_files,
        "num_lines": lines.num_lines,
        "num_accepted": len(lines.lines),
        "num_rejected": len(lines.rejected),
    }


def _check_usable(lines: SourceLines, where: str) -> None:
    if len(lines.lines):
        return
    if not len(lines.rejected):
        raise SourceError(f"{where} contains {lines.num_files} link files and no line in them: give another location")
    first = lines.rejected.slice(0, 1).to_pylist()[0]
    raise SourceError(
        f"{where}: none of its {len(lines.rejected)} lines can be read, the first is {first['identity']}.txt "
        f"line {first['line']} ({first['detail']}): {first['text'][:80]!r}; is this the right source?"
    )


# -- the origin --


def _read_local(asked: _Asked, path: Path, etags: Etags) -> _Found:
    try:
        content = asked.source.fingerprint(path)
        if content and content == asked.known.get("content"):
            return _Found(None, etags, content)
        return _Found(asked.source.read(path, asked.wanted, asked.where), etags, content)
    except OSError as error:
        raise SourceError(f"{asked.where} cannot be read ({error}): make all of it readable") from error


async def _fetch_archive(server: LinkServer, asked: _Asked) -> _Found:
    limits = server.limits
    etag = asked.known.get("etags", {}).get(asked.where, {})
    with tempfile.TemporaryDirectory(prefix="facemill-") as folder:
        path = Path(folder) / _file_name(asked)
        with path.open("wb") as file:
            answer = await server.get(
                URL(asked.where),
                etag,
                file,
                max_bytes=limits.max_archive_bytes,
                timeout_s=limits.archive_timeout_s,
            )
        if answer.is_as_before:
            return _Found(None, {asked.where: etag}, asked.known["content"])
        return await asyncio.to_thread(_read_local, asked, path, {asked.where: answer.etag})


def _file_name(asked: _Asked) -> str:
    """The local name of a fetched file; a list keeps its name, since the extension may indicate its format."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", URL(asked.where).name)[-100:]
    return name if asked.source.recipe is not None and name.strip(".") else "archive"


async def _fetch_files(server: LinkServer, asked: _Asked) -> _Found:
    """Fetch `<Identity>.txt` for each name; unchanged files keep their stored rows."""
    parse = asked.source.parse_file
    assert parse is not None, "location_of refuses a URL for a source without link files"
    base, names = await identities_below(server, URL(asked.where), asked.wanted)
    before: Etags = asked.known.get("etags", {})
    etags: Etags = {}
    fresh: dict[str, IdentityLines] = {}

    async def fetch(name: str) -> None:
        url = base / f"{name}.txt"
        etag = before.get(str(url), {})
        body, answer = await server.get_small(url, etag)
        etags[str(url)] = etag if answer.is_as_before else answer.etag
        if not answer.is_as_before:
            fresh[name] = parse(body)
        if asked.on_progress:
            asked.on_progress(len(etags))

    await _for_each(fetch, names, server.limits.concurrent)
    kept = [name for name in names if name not in fresh]
    if not fresh and etags.keys() == before.keys():
        return _Found(None, etags, "")
    lines = assembled(fresh)
    return _Found(renewed(_stored_lines(asked), kept, lines) if kept else lines, etags, "")


def _stored_lines(asked: _Asked) -> SourceLines:
    lake, name = asked.lake, asked.source.name
    lines = read_as(lake, lake.links(name, "lines.parquet"), LINK_LINES)
    rejected = read_as(lake, lake.links(name, "rejected.parquet"), REJECTED_LINES)
    return SourceLines(lines, rejected, asked.known["num_files"])


async def _for_each(do: Callable[[str], Awaitable[None]], names: list[str], concurrent: int) -> None:
    """Process every name, some concurrently; the first error cancels the others and is raised unchanged."""
    gate = asyncio.Semaphore(concurrent)

    async def one(name: str) -> None:
        async with gate:
            await do(name)

    try:
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
