"""Fetch one picture over HTTP with limits on time and size, and without access to private addresses."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from storage.errors import UsageError
from storage.records import Note, Reason
from tasks.images.formats import FORMATS
from tasks.web.addresses import Network, Refusal, check_url, parse_url
from tasks.web.connections import Connector, Response
from tasks.web.host_queue import HostCounts, HostQueues
from tasks.web.hosts import Host, HostRules, HostUnavailable
from tasks.web.limits import FetchLimits
from tasks.web.redirects import Redirects
from tasks.web.resolver import GuardedResolver, SystemResolver
from tasks.web.response_reader import FetchState, read
from tasks.web.responses import FetchResult
from tasks.web.robots import MAX_BYTES as ROBOTS_MAX_BYTES
from tasks.web.robots import MAX_REDIRECTS as ROBOTS_MAX_REDIRECTS
from tasks.web.robots import Robots

AGENT = "facemill"
USER_AGENT = f"{AGENT}/{version('facemill')}"
# Not `image/*`: the host would then choose any format, HEIC included.
ACCEPT = ", ".join(FORMATS.values())


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """The one address all requests are sent to; the `Host` header and the path stay those of the link."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ConnectTo:
        """Read `HOST:PORT` or `[IPv6]:PORT`.

        Raises:
            UsageError: the text is of another form.
        """
        host, colon, port = text.rpartition(":")
        if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"--connect-to must be HOST:PORT, such as 127.0.0.1:8000, and is {text!r}")
        return cls(host.strip("[]"), int(port))


class WebTransport:
    """Fetches pictures over HTTP. Make one per process with `open_web`; all units share its state of each host."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limits: FetchLimits,
        *,
        hosts: HostRules = HostRules(),
        connect_to: ConnectTo | None = None,
        allowed: tuple[Network, ...] = (),
        is_mine: Callable[[str], bool] = lambda host: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._limits = limits
        self._clock = clock
        self._connect_to = connect_to
        self._allowed = allowed
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._queues = HostQueues(
            replace(hosts, most_at_once=limits.per_host, most_per_s=limits.per_host_per_s), is_mine=is_mine, clock=clock
        )
        self._robots = Robots(self._get_robots, AGENT, clock=clock) if limits.robots else None
        self.num_requests = 0

    async def get(self, url: str) -> FetchResult:
        """Fetch once, following redirects. Failures are returned, not raised; ends within
        `FetchLimits.longest_get_s`.

        Raises:
            HostElsewhere: the host of the URL, or of a redirect, is one that another run may request.
        """
        return await self._get(url, self._robots, FetchState(url, self._limits.max_bytes), self._limits.max_redirects)

    def host_counts(self) -> HostCounts:
        """How many hosts are known, slowed and down. Safe to call from any thread."""
        return self._queues.counts()

    async def close(self) -> None:
        """Cancel pending requests for robots.txt. The session is not closed: its creator closes it."""
        if self._robots:
            await self._robots.close()

    async def _get_robots(self, url: str) -> FetchResult:
        return await self._get(url, None, FetchState(url, ROBOTS_MAX_BYTES, is_start_enough=True), ROBOTS_MAX_REDIRECTS)

    async def _get(self, url: str, robots: Robots | None, state: FetchState, max_redirects: int) -> FetchResult:
        started = self._clock()
        try:
            async with asyncio.timeout(None) as deadline:
                return await self._follow(parse_url(url), state, robots, Redirects(max_redirects), deadline)
        except Refusal as refusal:
            return state.failed(refusal.reason, refusal.detail)
        except HostUnavailable as later:
            return state.failed(later.reason, later.detail, later.after_s)
        except TimeoutError:
            return state.failed(Reason.TIMEOUT, f"after {self._clock() - started:.1f} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, aiohttp.ClientResponseError):
                state.http_status = error.status or None
                return state.failed(Reason.BAD_RESPONSE, error.message)
            return state.failed(_reason_of(error), f"{type(error).__name__}: {error}")

    async def _follow(
        self, url: URL, state: FetchState, robots: Robots | None, redirects: Redirects, deadline: asyncio.Timeout
    ) -> FetchResult:
        """Follow redirects hop by hop to the final response."""
        while True:
            state.url = str(url)
            refused = check_url(url, self._allowed)
            if refused is not None:
                raise refused
            headers = redirects.start(url)
            delay_s = await robots.check(url) if robots else 0.0
            async with self._queues.at((url.raw_host or "").lower()) as host, self._slots:
                host.crawl_delay_s = delay_s
                if redirects.is_first:  # the time limit starts once a slot is free, not while the link waits
                    deadline.reschedule(asyncio.get_running_loop().time() + self._limits.total_s)
                response = await self._request(url, headers, host, state)
                async with response:
                    target = _redirected(url, response)
                    if target is None:
                        return await read(response, state, self._limits, self._clock)
                    redirects.keep(url, response.headers.getall("Set-Cookie", ()))
            url = target

    async def _request(self, url: URL, headers: dict[str, str], host: Host, state: FetchState) -> Response:
        """The head of the response to one request; the result is reported to the host's state."""
        target, named = addressed(url, self._connect_to)
        self.num_requests += 1
        sent_at = self._clock()
        try:
            response = await self._send(target, headers | named, state)
        except (aiohttp.ClientConnectorError, TimeoutError) as error:
            # An unresolved name or an invalid certificate does not show whether the host is down.
            if not isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.ClientSSLError):
                host.failed(sent_at, self._clock())
            raise
        now = self._clock()
        state.head(response, now - sent_at)
        host.answered(sent_at, now, refused=response.status in (429, 503), retry_after_s=state.retry_after_s)
        return response

    async def _send(self, url: URL, headers: dict[str, str], state: FetchState) -> Response:
        try:
            response = await self._session.get(url, headers=headers, allow_redirects=False)
        except aiohttp.ClientConnectorCertificateError:
            if not self._limits.bad_certificates:
                raise
            state.notes.add(Note.BAD_CERTIFICATE)
            response = await self._session.get(url, headers=headers, allow_redirects=False, ssl=False)
        assert isinstance(response, Response)
        return response


def _redirected(url: URL, response: Response) -> URL | None:
    """The redirect target of a response; None if it is not a redirect."""
    location = response.headers.get("Location", "")
    is_redirect = response.status in (301, 302, 303, 307, 308) and location
    return url.join(parse_url(location)) if is_redirect else None


@asynccontextmanager
async def open_web(
    limits: FetchLimits = FetchLimits(),
    *,
    hosts: HostRules = HostRules(),
    connect_to: ConnectTo | None = None,
    allowed: tuple[Network, ...] = (),
    contact: str = "",
    is_mine: Callable[[str], bool] = lambda host: True,
    resolver: AbstractResolver | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[WebTransport]:
    """A transport with its connections, closed at the end.

    Args:
        hosts: when a host is paused; its rates are those of `limits`.
        contact: a URL or mail address, sent to the hosts in the User-Agent.
        is_mine: whether this run may request a host, asked before each request.
        resolver: resolves names; by default the system's. Its addresses are checked before a connection is made.
        clock: returns seconds from an arbitrary start. Rates, pauses, latencies and cache lifetimes are measured by it.
    """
    resolver = resolver or SystemResolver()
    if not connect_to:  # with it, the only name resolved is the operator's own
        resolver = GuardedResolver(resolver, allowed, timeout_s=limits.connect_s, clock=clock)
    connector = Connector(
        limit=limits.concurrency,
        resolver=resolver,
        ssl=ssl.create_default_context(),
        use_dns_cache=connect_to is not None,  # the guarded resolver has its own cache, failures included
    )
    headers = {
        "User-Agent": f"{USER_AGENT} ({contact})" if contact else USER_AGENT,
        "Accept": ACCEPT,
        "Accept-Encoding": "identity",
    }
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.silence_s),
            auto_decompress=False,
            trust_env=False,
            response_class=Response,
        ) as session:
            web = WebTransport(
                session, limits, hosts=hosts, connect_to=connect_to, allowed=allowed, is_mine=is_mine, clock=clock
            )
            try:
                yield web
            finally:
                await web.close()
    finally:
        await resolver.close()


def addressed(url: URL, connect_to: ConnectTo | None) -> tuple[URL, dict[str, str]]:
    """The URL to request, and its additional headers.

    Under `connect_to` an https link is fetched over plain HTTP: the test server has no certificates for the hosts.
    """
    if connect_to is None:
        return url, {}
    host = url.raw_host or ""
    named = f"[{host}]" if ":" in host else host
    port = url.explicit_port
    mapped = url.with_scheme("http").with_host(connect_to.host).with_port(connect_to.port)
    return mapped, {"Host": f"{named}:{port}" if port else named}


# From the specific to the general: the first match gives the reason.
_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (aiohttp.ClientConnectorDNSError, Reason.DNS),
    (aiohttp.ClientConnectorCertificateError, Reason.TLS),
    (aiohttp.ClientSSLError, Reason.TLS),
    (aiohttp.ClientConnectorError, Reason.CONNECT),
    (aiohttp.InvalidURL, Reason.BAD_URL),
    (aiohttp.ServerDisconnectedError, Reason.RESET),
    (aiohttp.ClientOSError, Reason.RESET),
    (OSError, Reason.RESET),
    (ValueError, Reason.BAD_URL),
)


def _reason_of(error: BaseException) -> Reason:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.BAD_RESPONSE)
