"""Collect the link lines of a source into the lake: from a folder, an archive, or a server of link files.

    links/<source>/lines.parquet      records.LINK_LINES, by identity and line
    links/<source>/rejected.parquet   records.REJECTED_LINES; lines read = lines + rejected
    links/<source>/origin.json        written last: where it came from, ETags, counts and digests

Nothing is written before all of it has been read, so a collection that fails leaves the one before as it was.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any

import aiohttp
from yarl import URL

from storage.errors import LinksUnavailable, SourceError
from storage.lake import Lake
from storage.tables import read_stamp, read_table, stamp, table_digest, write_table
from tasks.http import ConnectTo, addressed
from tasks.sources.source import IdentityLines, Source, SourceLines, assembled, is_text, renewed
from tasks.sources.vggface1 import MAX_FILE_BYTES, is_link_file

# Raised when a link file would be read otherwise than before, so that unchanged files are read again.
_RULES = 1
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_REDIRECTS = {301, 302, 303, 307, 308}
_COUNTS = ("digest", "num_files", "num_lines", "num_accepted", "num_rejected")

# For each URL, the request headers that ask only for news: If-None-Match or If-Modified-Since, or none.
Etags = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """How long, how large and how often link files are asked for."""

    concurrent: int = 16
    tries: int = 3
    backoff_s: float = 1.0
    max_redirects: int = 5
    file_timeout_s: float = 60.0
    archive_timeout_s: float = 3600.0
    max_file_bytes: int = MAX_FILE_BYTES
    max_archive_bytes: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class LinksSummary:
    """What a collection found; `num_lines` = `num_accepted` + `num_rejected`.

    Attributes:
        changed: the lines differ from those the lake held before, or it held none.
        digest: over accepted and rejected lines.
    """

    source: str
    location: str
    changed: bool
    digest: str
    num_files: int
    num_lines: int
    num_accepted: int
    num_rejected: int


async def collect_links(
    lake: Lake,
    source: Source,
    location: str | None = None,
    *,
    connect_to: ConnectTo | None = None,
    identities: Collection[str] | None = None,
    on_progress: Callable[[int], None] | None = None,
    user_agent: str = "facemill",
    limits: LinkLimits = LinkLimits(),
) -> LinksSummary:
    """Read the link lines of a source into the lake; what the lake held of the source before is replaced.

    Args:
        location: a folder or tar archive on disk, the URL of a tar archive, or the URL of a folder of
            `<Identity>.txt` files with an index page; None for the source's own.
        connect_to: send every request to this address.
        identities: the names to collect; None for all. Below a URL they are asked for without an index page.
        on_progress: called with the number of link files done so far.
        user_agent: how the requests introduce themselves.

    Raises:
        SourceError: the location cannot be what it is said to be, or holds no usable line.
        LinksUnavailable: the link files could not be fetched.
    """
    where = _checked_location(source, location)
    wanted = sorted(set(identities)) if identities is not None else None
    stored = _stored_origin(lake, source)
    request = {"location": where, "identities": wanted, "rules": _RULES}
    known = stored if request.items() <= stored.items() else {}
    asked = _Asked(lake, source, where, wanted, known, on_progress)
    if _is_url(where):
        async with _client(connect_to, user_agent, limits) as client:
            is_archive = URL(where).path.endswith(_ARCHIVES)
            found = await (_fetch_archive(client, asked) if is_archive else _fetch_files(client, asked))
    else:
        found = await asyncio.to_thread(_read_local, asked, Path(where), {})
    if found.lines is not None:
        _check_usable(found.lines, where)
    counts = _counts(found.lines) if found.lines else {name: known[name] for name in _COUNTS}
    if on_progress:
        on_progress(counts["num_files"])
    changed = counts["digest"] != stored.get("digest")
    origin = {**request, **counts, "etags": found.etags, "content": found.content}
    if not origin.items() <= stored.items():
        await asyncio.to_thread(_write, lake, source, found.lines if changed else None, origin)
    return LinksSummary(source=source.name, location=where, changed=changed, **counts)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What to collect; `known` is the stored origin if it answers the same question, else empty."""

    lake: Lake
    source: Source
    where: str
    wanted: list[str] | None
    known: dict[str, Any]
    on_progress: Callable[[int], None] | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read; `lines` is None if all is as it was."""

    lines: SourceLines | None
    etags: Etags
    content: str


# -- the lake --


def _stored_origin(lake: Lake, source: Source) -> dict[str, Any]:
    """The origin of what the lake holds; empty if it holds nothing, or a write was cut off half way."""
    path = lake.links(source.name, "origin.json")
    if not lake.exists(path):
        return {}
    origin = lake.read_json(path)
    tables = [lake.links(source.name, name) for name in ("lines.parquet", "rejected.parquet")]
    return origin if all(read_stamp(lake, table) == origin.get("digest") for table in tables) else {}


def _write(lake: Lake, source: Source, lines: SourceLines | None, origin: dict[str, Any]) -> None:
    if lines is not None:
        write_table(lake, lake.links(source.name, "lines.parquet"), lines.lines, stamp=origin["digest"])
        write_table(lake, lake.links(source.name, "rejected.parquet"), lines.rejected, stamp=origin["digest"])
    collected_at = datetime.now(UTC).isoformat(timespec="seconds")
    lake.write_json(lake.links(source.name, "origin.json"), {**origin, "collected_at": collected_at})


def _counts(lines: SourceLines) -> dict[str, Any]:
    return {
        "digest": stamp(table_digest(lines.lines), table_digest(lines.rejected)),
        "num_files": lines.num_files,
        "num_lines": lines.num_lines,
        "num_accepted": len(lines.lines),
        "num_rejected": len(lines.rejected),
    }


def _check_usable(lines: SourceLines, where: str) -> None:
    if len(lines.lines):
        return
    if not len(lines.rejected):
        raise SourceError(f"{where} holds {lines.num_files} link files but not one line: give another location")
    first = lines.rejected.slice(0, 1).to_pylist()[0]
    raise SourceError(
        f"{where}: none of its {len(lines.rejected)} lines can be read, the first is {first['identity']}.txt "
        f"line {first['line']} ({first['detail']}): {first['text'][:80]!r}; is this the right source?"
    )


# -- where it comes from --


def _is_url(location: str) -> bool:
    return location.lower().startswith(("http://", "https://"))


def _checked_location(source: Source, location: str | None) -> str:
    where = location or source.location
    if not where:
        raise SourceError(f"the source {source.name} has no location of its own: say where it is")
    if not _is_url(where):
        if "://" in where:
            raise SourceError(f"{where} is neither http(s) nor a path on this machine: download it first")
        return str(Path(where).resolve())
    if source.parse_file is None:
        raise SourceError(f"the source {source.name} is read from a folder on this machine, not from {where}")
    try:
        url = URL(where)
    except ValueError as error:
        raise SourceError(f"the URL of the link files cannot be read ({error}): correct it") from None
    if not url.host or url.user is not None or url.password is not None:
        raise SourceError(
            f"the URL of the link files must have a host, without user name and password; its host is {url.host!r}"
        )
    return where


def _read_local(asked: _Asked, path: Path, etags: Etags) -> _Found:
    try:
        content = asked.source.fingerprint(path)
        if content and content == asked.known.get("content"):
            return _Found(None, etags, content)
        return _Found(asked.source.read(path, asked.wanted, asked.where), etags, content)
    except OSError as error:
        raise SourceError(f"{asked.where} cannot be read ({error}): make all of it readable") from error


async def _fetch_archive(client: _Client, asked: _Asked) -> _Found:
    limits = client.limits
    etag = asked.known.get("etags", {}).get(asked.where, {})
    with tempfile.TemporaryDirectory(prefix="facemill-") as folder:
        path = Path(folder) / "archive"
        with path.open("wb") as file:
            answer = await client.get(
                URL(asked.where),
                etag,
                file,
                max_bytes=limits.max_archive_bytes,
                timeout_s=limits.archive_timeout_s,
            )
        if answer.is_as_before:
            return _Found(None, {asked.where: etag}, asked.known["content"])
        return await asyncio.to_thread(_read_local, asked, path, {asked.where: answer.etag})


async def _fetch_files(client: _Client, asked: _Asked) -> _Found:
    """Fetch `<Identity>.txt` for each name; one that is as before keeps the rows that the lake has of it."""
    parse = asked.source.parse_file
    assert parse is not None, "_checked_location refuses a URL for a source without link files"
    base, names = await _names_below(client, asked)
    before: Etags = asked.known.get("etags", {})
    etags: Etags = {}
    fresh: dict[str, IdentityLines] = {}

    async def fetch(name: str) -> None:
        url = base / f"{name}.txt"
        etag = before.get(str(url), {})
        body, answer = await client.get_small(url, etag)
        etags[str(url)] = etag if answer.is_as_before else answer.etag
        if not answer.is_as_before:
            fresh[name] = parse(body)
        if asked.on_progress:
            asked.on_progress(len(etags))

    await _for_each(fetch, names, client.limits.concurrent)
    kept = [name for name in names if name not in fresh]
    if not fresh and etags.keys() == before.keys():
        return _Found(None, etags, "")
    lines = assembled(fresh)
    return _Found(renewed(_stored_lines(asked), kept, lines) if kept else lines, etags, "")


def _stored_lines(asked: _Asked) -> SourceLines:
    paths = [asked.lake.links(asked.source.name, name) for name in ("lines.parquet", "rejected.parquet")]
    lines, rejected = (read_table(asked.lake, path) for path in paths)
    return SourceLines(lines, rejected, asked.known["num_files"])


async def _for_each(do: Callable[[str], Awaitable[None]], names: list[str], concurrent: int) -> None:
    """Do it for every name, some at once; the first error ends all and is raised as it is."""
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


# -- names below a URL --


async def _names_below(client: _Client, asked: _Asked) -> tuple[URL, list[str]]:
    """The folder's URL, and the identities wanted of it or else those its index page links to."""
    url = URL(asked.where)
    base = url.with_path(url.raw_path.rstrip("/") + "/", encoded=True)
    if asked.wanted is not None:
        for name in asked.wanted:
            if not _is_file_name(f"{name}.txt"):
                raise SourceError(
                    f"{name!r} cannot be the name of a link file: ask for names as <Identity>.txt has them"
                )
        return base, asked.wanted
    page, answer = await client.get_small(base, {})
    names = _names_in(page.decode(errors="replace"), answer.url)
    if not names:
        raise SourceError(f"{base} links to no <Identity>.txt in its folder: name the identities, or another location")
    return answer.url.with_query(None).join(URL(".")), names


def _names_in(page: str, base: URL) -> list[str]:
    """The identities of the link files that an index page has in its own folder, sorted."""
    names = set()
    for href in _Hrefs.of(page):
        try:
            target = base.join(URL(href))
        except ValueError:
            continue
        is_near = target.origin() == base.origin() if target.host else False
        if is_near and target.parent == base.join(URL("x")).parent and _is_file_name(target.name):
            names.add(target.name.removesuffix(".txt"))
    return sorted(names)


def _is_file_name(name: str) -> bool:
    return is_text(name) and len(PurePosixPath(name).parts) == 1 and is_link_file(PurePosixPath(name))


class _Hrefs(HTMLParser):
    """Where the `a` elements of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one link."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


# -- requests --


class _TryAgainError(Exception):
    """A failure that may pass."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The URL that answered, after redirects; `etag` as in `Etags`; `is_as_before`: 304, and no body."""

    url: URL
    etag: dict[str, str]
    is_as_before: bool


@asynccontextmanager
async def _client(connect_to: ConnectTo | None, user_agent: str, limits: LinkLimits) -> AsyncIterator[_Client]:
    # The operator names the location, so private addresses are allowed; proxies and cookies are not wanted.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limits.concurrent),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
        trust_env=False,
    ) as session:
        yield _Client(session, connect_to, limits)


@dataclass(frozen=True, slots=True)
class _Client:
    session: aiohttp.ClientSession
    connect_to: ConnectTo | None
    limits: LinkLimits

    async def get_small(self, url: URL, etag: dict[str, str]) -> tuple[bytes, _Answer]:
        """The body of a page or link file, empty if it is as before. Raises as `get`."""
        body = BytesIO()
        limits = self.limits
        answer = await self.get(url, etag, body, max_bytes=limits.max_file_bytes, timeout_s=limits.file_timeout_s)
        return body.getvalue(), answer

    async def get(
        self, url: URL, etag: dict[str, str], sink: IO[bytes], *, max_bytes: int, timeout_s: float
    ) -> _Answer:
        """Fetch `url` into `sink`, unless it is as `etag` has it; a failure that may pass is tried again.

        Raises:
            LinksUnavailable: no answer, or another than 200 or 304, or a body beyond `max_bytes`.
        """
        tries = self.limits.tries
        for number in range(1, tries + 1):
            sink.seek(0)
            sink.truncate()
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._follow(url, etag, sink, max_bytes)
            except TimeoutError:
                cause = f"no full answer within {timeout_s:g} s"
            except (_TryAgainError, aiohttp.ClientError, OSError) as error:
                cause = " ".join(str(error).split()) or type(error).__name__
            if number < tries:
                await asyncio.sleep(self.limits.backoff_s * 2 ** (number - 1))
        raise LinksUnavailable(
            f"{url}: {cause} ({tries} tries): try later, or give a folder or archive on this machine"
        )

    async def _follow(self, url: URL, etag: dict[str, str], sink: IO[bytes], max_bytes: int) -> _Answer:
        asked = url
        for _ in range(self.limits.max_redirects + 1):
            mapped, headers = addressed(url, self.connect_to)
            async with self.session.get(mapped, headers={**headers, **etag}, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _taken(response, url, etag, sink, max_bytes)
                url = _redirected(url, response.headers.get("Location", ""))
        raise LinksUnavailable(
            f"{asked}: more than {self.limits.max_redirects} redirects: give the URL it should lead to"
        )


async def _taken(
    response: aiohttp.ClientResponse, url: URL, etag: dict[str, str], sink: IO[bytes], max_bytes: int
) -> _Answer:
    status = response.status
    if status == 304 and etag:
        return _Answer(url, etag, is_as_before=True)
    if status >= 500 or status == 429:
        raise _TryAgainError(f"the server answered {status}")
    if status != 200:
        raise LinksUnavailable(f"{url}: the server answered {status}: check the address, or give a folder or archive")
    num_bytes = 0
    async for chunk in response.content.iter_chunked(1 << 18):
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise LinksUnavailable(
                f"{url}: more than {max_bytes:,} bytes, the most that is taken: is this the right URL?"
            )
        sink.write(chunk)
    return _Answer(url, _etag(response), is_as_before=False)


def _etag(response: aiohttp.ClientResponse) -> dict[str, str]:
    if "ETag" in response.headers:
        return {"If-None-Match": response.headers["ETag"]}
    if "Last-Modified" in response.headers:
        return {"If-Modified-Since": response.headers["Last-Modified"]}
    return {}


def _redirected(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location))
    except ValueError:
        target = URL()
    if target.scheme not in ("http", "https") or not target.host:
        raise LinksUnavailable(
            f"{url}: redirects to {location!r}, which is not http(s): give the URL it should lead to"
        )
    return target
