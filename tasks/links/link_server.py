"""A client for servers of link files: an archive, or the `<Identity>.txt` files of a folder and its index page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from io import BytesIO
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import IO

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from storage.errors import LinksUnavailable, SourceError
from storage.stamps.setting_field import setting
from storage.text.names import is_text
from tasks.links.sources.vggface1 import MAX_FILE_BYTES, is_link_file
from tasks.web.addresses import Refusal, check_url, is_public
from tasks.web.connections import PeerResponse
from tasks.web.http import USER_AGENT, ConnectTo, addressed
from tasks.web.resolver import GuardedResolver, SystemResolver

_REDIRECTS = {301, 302, 303, 307, 308}

# The conditional request headers of each URL: If-None-Match or If-Modified-Since, or none.
Etags = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Limits of time, size and retries for link files."""

    concurrent: int = setting(16, "concurrent requests", ge=1, le=256)
    tries: int = setting(3, "tries per file", ge=1, le=20)
    backoff_s: float = setting(1.0, "seconds before the second try; doubled before each further one", ge=0, le=600)
    max_redirects: int = setting(5, "redirects that are followed", ge=0, le=20)
    file_timeout_s: float = setting(60.0, "timeout per link file in seconds", gt=0)
    archive_timeout_s: float = setting(3600.0, "timeout of an archive in seconds", gt=0)
    max_file_bytes: int = setting(MAX_FILE_BYTES, "greatest size of a link file in bytes", ge=1, le=MAX_FILE_BYTES)
    max_archive_bytes: int = setting(2_000_000_000, "greatest size of an archive or a list in bytes", ge=1)


class _TryAgainError(Exception):
    """A transient failure."""


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """The final URL after redirects; `etag` as in `Etags`; `is_as_before`: status 304, without a body."""

    url: URL
    etag: dict[str, str]
    is_as_before: bool


@asynccontextmanager
async def open_link_server(
    connect_to: ConnectTo | None = None,
    user_agent: str = USER_AGENT,
    limits: LinkLimits = LinkLimits(),
    *,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[LinkServer]:
    """Open a client, with its connections closed at the end.

    The operator chooses the location, so it may be a private address; only then may it redirect to one. Proxies and
    cookies are not used.

    Args:
        resolver: the name resolver; the system's own by default.
    """
    resolver = resolver or SystemResolver()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(resolver.close)
        sessions = [
            await stack.enter_async_context(_session(limits, user_agent, one))
            for one in (resolver, GuardedResolver(resolver))
        ]
        yield LinkServer(sessions[0], sessions[1], connect_to, limits)


def _session(limits: LinkLimits, user_agent: str, resolver: AbstractResolver) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limits.concurrent, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
        response_class=PeerResponse,
        trust_env=False,
    )


@dataclass(frozen=True, slots=True)
class LinkServer:
    """Fetches files from the operator's server; created by `open_link_server`.

    Attributes:
        session: connects to any address.
        guarded: connects to public addresses only.
    """

    session: aiohttp.ClientSession
    guarded: aiohttp.ClientSession
    connect_to: ConnectTo | None
    limits: LinkLimits

    async def get_small(self, url: URL, etag: dict[str, str]) -> tuple[bytes, LinkAnswer]:
        """The body of a page or link file, empty if unchanged. Raises as `get`."""
        body = BytesIO()
        limits = self.limits
        answer = await self.get(url, etag, body, max_bytes=limits.max_file_bytes, timeout_s=limits.file_timeout_s)
        return body.getvalue(), answer

    async def get(
        self, url: URL, etag: dict[str, str], sink: IO[bytes], *, max_bytes: int, timeout_s: float
    ) -> LinkAnswer:
        """Fetch `url` into `sink`, unless it is unchanged by `etag`; transient failures are retried.

        Raises:
            LinksUnavailable: no response, a status other than 200 or 304, or a body over `max_bytes`.
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
            except Refusal as refused:
                raise LinksUnavailable(f"{url}: redirects to where it may not: {refused.detail}") from refused
            except (_TryAgainError, aiohttp.ClientError, OSError) as error:
                cause = " ".join(str(error).split()) or type(error).__name__
            if number < tries:
                await asyncio.sleep(self.limits.backoff_s * 2 ** (number - 1))
        raise LinksUnavailable(
            f"{url}: {cause} ({tries} tries): try later, or give a folder or archive on this machine"
        )

    async def _follow(self, url: URL, etag: dict[str, str], sink: IO[bytes], max_bytes: int) -> LinkAnswer:
        asked, session = url, self.session
        for _ in range(self.limits.max_redirects + 1):
            mapped, headers = addressed(url, self.connect_to)
            async with session.get(mapped, headers={**headers, **etag}, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _taken(response, url, etag, sink, max_bytes)
                if url is asked and not self._is_private(asked, response):
                    session = self.guarded
                url = _redirected(url, response.headers.get("Location", ""), is_private=session is self.session)
        raise LinksUnavailable(
            f"{asked}: more than {self.limits.max_redirects} redirects: give the URL it should lead to"
        )

    def _is_private(self, asked: URL, response: aiohttp.ClientResponse) -> bool:
        """Whether the operator's location is private; under `connect_to`, by its name alone."""
        if self.connect_to is None and isinstance(response, PeerResponse) and response.peer:
            return not is_public(ip_address(response.peer.partition("%")[0]))
        return check_url(asked) is not None


async def _taken(
    response: aiohttp.ClientResponse, url: URL, etag: dict[str, str], sink: IO[bytes], max_bytes: int
) -> LinkAnswer:
    status = response.status
    if status == 304 and etag:
        return LinkAnswer(url, etag, is_as_before=True)
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
    return LinkAnswer(url, _etag(response), is_as_before=False)


def _etag(response: aiohttp.ClientResponse) -> dict[str, str]:
    if "ETag" in response.headers:
        return {"If-None-Match": response.headers["ETag"]}
    if "Last-Modified" in response.headers:
        return {"If-Modified-Since": response.headers["Last-Modified"]}
    return {}


def _redirected(url: URL, location: str, *, is_private: bool) -> URL:
    """The target of a redirect.

    Args:
        is_private: whether private addresses are allowed.

    Raises:
        LinksUnavailable: the target is not http(s), leads from https to http, or is not allowed.
    """
    try:
        target = url.join(URL(location))
    except ValueError:
        target = URL()
    if target.scheme not in ("http", "https") or not target.host:
        cause = "which is not http(s)"
    elif url.scheme == "https" and target.scheme == "http":
        cause = "from https to http"
    elif not is_private and (refused := check_url(target)):
        cause = refused.detail
    else:
        return target
    raise LinksUnavailable(f"{url}: redirects to {location[:200]!r}, {cause}: give the URL it should lead to")


# -- the identities of a folder --


async def identities_below(server: LinkServer, folder: URL, wanted: list[str] | None) -> tuple[URL, list[str]]:
    """The folder's URL with its final slash, and the requested identities, by default those linked by its index page.

    Raises:
        SourceError: a requested name cannot be that of a link file, or the page links to none.
        LinksUnavailable: the page could not be fetched.
    """
    base = folder.with_path(folder.raw_path.rstrip("/") + "/", encoded=True)
    if wanted is not None:
        for name in wanted:
            if not _is_file_name(f"{name}.txt"):
                raise SourceError(
                    f"{name!r} cannot be the name of a link file: ask for names as <Identity>.txt has them"
                )
        return base, wanted
    page, answer = await server.get_small(base, {})
    names = _names_in(page.decode(errors="replace"), answer.url)
    if not names:
        raise SourceError(f"{base} links to no <Identity>.txt in its folder: name the identities, or another location")
    return answer.url.with_query(None).join(URL(".")), names


def _names_in(page: str, base: URL) -> list[str]:
    """The identities of the link files in the index page's own folder, sorted."""
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
    """The targets of the `a` elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record one link."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]
