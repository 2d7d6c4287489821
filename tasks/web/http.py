"""Asking the web for one picture, within limits: nothing hangs, nothing drowns, nothing private is reached."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from storage.errors import UsageError
from storage.records import Reason
from tasks.web.addresses import Network, Refusal, check_url, parse_url
from tasks.web.answers import Answer, inflate, is_opted_out, reason_of_status, retry_after_s, storable
from tasks.web.hosts import Host, HostRules, NotNow
from tasks.web.names import GuardedResolver, SystemResolver
from tasks.web.robots import MAX_BYTES as ROBOTS_MAX_BYTES
from tasks.web.robots import Robots
from tasks.web.turns import LONGEST_TURN_S, HostCounts, Turns

AGENT = "facemill"
USER_AGENT = f"{AGENT}/{version('facemill')}"


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
            raise UsageError(f"--connect-to wants HOST:PORT, for instance 127.0.0.1:8000, and got {text!r}")
        return cls(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one request may take, and how many run at a time."""

    connect_s: float = 10.0
    # Before the first byte and between any two.
    silence_s: float = 15.0
    total_s: float = 60.0
    # A host that stays under this for longer than the grace is cut off: 1 KB/s held img2dataset for 56 s (measured).
    min_bytes_per_s: int = 2048
    grace_s: float = 5.0
    max_bytes: int = 32_000_000
    max_redirects: int = 5
    concurrency: int = 128
    per_host: int = 4
    per_host_per_s: float = 20.0
    # Whether robots.txt is asked for and obeyed.
    robots: bool = False

    @property
    def longest_get_s(self) -> float:
        """The most seconds that `WebTransport.get` takes: a turn, then all hops with their own turns; with robots.txt,
        the same once more before.

        Waiting for one of the `concurrency` slots comes on top of it, when more than so many are asked at a time.
        """
        return (LONGEST_TURN_S + self.total_s) * (2 if self.robots else 1)

    def host_rules(self) -> HostRules:
        """What any one host may be asked."""
        return HostRules(most_at_once=self.per_host, most_per_s=self.per_host_per_s)


class WebTransport:
    """Gets pictures over HTTP. Make one per process with `open_web`; all units share what it knows of each host."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limits: FetchLimits,
        *,
        connect_to: ConnectTo | None = None,
        allowed: tuple[Network, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._limits = limits
        self._clock = clock
        self._connect_to = connect_to
        self._allowed = allowed
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._turns = Turns(limits.host_rules(), clock=clock)
        self._robots = Robots(self._get_robots, AGENT, clock=clock) if limits.robots else None
        self.num_requests = 0

    async def get(self, url: str) -> Answer:
        """Ask once, following redirects. Never raises for what the web does, and ends within
        `FetchLimits.longest_get_s`.
        """
        return await self._get(url, self._robots, self._limits.max_bytes)

    def host_counts(self) -> HostCounts:
        """How many hosts are known, slowed and down. Safe to call from any thread."""
        return self._turns.counts()

    async def close(self) -> None:
        """Stop asking for robots.txt; the session belongs to whoever made it."""
        if self._robots:
            await self._robots.close()

    async def _get_robots(self, url: str) -> Answer:
        return await self._get(url, None, ROBOTS_MAX_BYTES)

    async def _get(self, url: str, robots: Robots | None, max_bytes: int) -> Answer:
        started = self._clock()
        seen = _Seen(url, max_bytes)
        try:
            async with asyncio.timeout(None) as deadline:
                return await self._follow(parse_url(url), seen, robots, deadline)
        except Refusal as refusal:
            return seen.failed(refusal.reason, refusal.detail)
        except NotNow as later:
            return seen.failed(later.reason, later.detail, later.after_s)
        except TimeoutError:
            return seen.failed(Reason.TIMEOUT, f"after {self._clock() - started:.1f} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return seen.failed(_reason_of(error), f"{type(error).__name__}: {error}")

    async def _follow(self, url: URL, seen: _Seen, robots: Robots | None, deadline: asyncio.Timeout) -> Answer:
        """Ask hop by hop until something is no redirect."""
        hops: set[str] = set()
        while True:
            seen.url = str(url)
            refused = check_url(url, self._allowed)
            if refused is not None:
                raise refused
            if seen.url in hops or len(hops) > self._limits.max_redirects:
                raise Refusal(Reason.REDIRECT_LOOP, f"after {len(hops)} redirects")
            hops.add(seen.url)
            delay_s = await robots.check(url) if robots else 0.0
            async with self._turns.at((url.raw_host or "").lower()) as host, self._slots:
                host.crawl_delay_s = delay_s
                if len(hops) == 1:  # the clock starts when a slot is free, not while others are being asked
                    deadline.reschedule(asyncio.get_running_loop().time() + self._limits.total_s)
                answer = await self._ask(url, host, seen)
            if isinstance(answer, Answer):
                return answer
            url = answer

    async def _ask(self, url: URL, host: Host, seen: _Seen) -> Answer | URL:
        """One request: the answer, or where it is redirected to. The host is told what came of it."""
        target, headers = addressed(url, self._connect_to)
        self.num_requests += 1
        asked_at = self._clock()
        try:
            response = await self._session.get(target, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, TimeoutError) as error:
            # A name that does not resolve and a certificate that is not valid say nothing of the host behind.
            if not isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.ClientSSLError):
                host.failed(asked_at, self._clock())
            raise
        async with response:
            now = self._clock()
            seen.head(response, now - asked_at)
            host.answered(asked_at, now, refused=response.status in (429, 503), retry_after_s=seen.retry_after_s)
            return await self._read(url, response, seen)

    async def _read(self, url: URL, response: aiohttp.ClientResponse, seen: _Seen) -> Answer | URL:
        location = response.headers.get("Location", "")
        if response.status in (301, 302, 303, 307, 308) and location:
            return url.join(parse_url(location))
        reason = reason_of_status(response.status)
        if reason is None and is_opted_out(response.headers.getall("X-Robots-Tag", [])):
            reason = Reason.OPTED_OUT
        if reason is not None:
            return seen.failed(reason, f"{response.status} {response.reason or ''}".strip(), seen.retry_after_s)
        return seen.brought(await self._body(response, seen))

    async def _body(self, response: aiohttp.ClientResponse, seen: _Seen) -> bytes:
        cap = seen.max_bytes
        if (response.content_length or 0) > cap:
            raise Refusal(Reason.TOO_LARGE, f"{response.content_length} bytes, over {cap}")
        started = self._clock()
        chunks = []
        while chunk := await response.content.readany():
            chunks.append(chunk)
            seen.received_bytes += len(chunk)
            if seen.received_bytes > cap:
                raise Refusal(Reason.TOO_LARGE, f"over {cap} bytes")
            elapsed = self._clock() - started
            if elapsed > self._limits.grace_s and seen.received_bytes < elapsed * self._limits.min_bytes_per_s:
                raise Refusal(Reason.TOO_SLOW, f"{seen.received_bytes} bytes in {elapsed:.1f} s")
        body = b"".join(chunks)
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        return body if encoding in ("identity", "") else inflate(body, encoding, cap)


class _Seen:
    """What was seen so far while one URL is asked for, whatever comes of it."""

    def __init__(self, url: str, max_bytes: int) -> None:
        self.url = url
        self.max_bytes = max_bytes
        self.http_status: int | None = None
        self.retry_after_s: float | None = None
        self.first_byte_s: float | None = None
        self.received_bytes = 0
        self.address: str | None = None

    def head(self, response: aiohttp.ClientResponse, first_byte_s: float) -> None:
        """The head of an answer came."""
        self.http_status = response.status
        self.retry_after_s = retry_after_s(response.headers.get("Retry-After", ""))
        self.first_byte_s = first_byte_s
        self.address = response.peer if isinstance(response, _Response) else None

    def brought(self, data: bytes) -> Answer:
        """The answer that holds the bytes."""
        return self._answer(data=data)

    def failed(self, reason: Reason, detail: str, retry_after_s: float | None = None) -> Answer:
        """The answer that says why there are none."""
        return self._answer(reason=reason, detail=storable(detail), retry_after_s=retry_after_s)

    def _answer(self, **what: Any) -> Answer:
        return Answer(
            self.url,
            http_status=self.http_status,
            first_byte_s=self.first_byte_s,
            received_bytes=self.received_bytes,
            address=self.address,
            **what,
        )


class _Response(aiohttp.ClientResponse):
    """A response that remembers who sent it; a connection is back in the pool once a short body has come."""

    peer: str | None = None

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head of the answer."""
        name = connection.transport.get_extra_info("peername") if connection.transport else None
        self.peer = name[0] if isinstance(name, tuple) else None
        return await super().start(connection)


@asynccontextmanager
async def open_web(
    limits: FetchLimits = FetchLimits(),
    *,
    connect_to: ConnectTo | None = None,
    allowed: tuple[Network, ...] = (),
    contact: str = "",
    resolver: AbstractResolver | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[WebTransport]:
    """A transport with its connections, closed at the end.

    Args:
        contact: a URL or mail address that the User-Agent shows to the hosts asked.
        resolver: looks names up; the system's own if not given. Its answers are judged before anything connects.
        clock: tells seconds, from any start: of rates, pauses, latencies, and of how long an answer is remembered.
    """
    resolver = resolver or SystemResolver()
    if not connect_to:  # else the only name looked up is the operator's own
        resolver = GuardedResolver(resolver, allowed, timeout_s=limits.connect_s, clock=clock)
    connector = aiohttp.TCPConnector(
        limit=limits.concurrency,
        resolver=resolver,
        ssl=ssl.create_default_context(),
        use_dns_cache=connect_to is not None,  # the guard remembers, the dead names too
    )
    headers = {
        "User-Agent": f"{USER_AGENT} ({contact})" if contact else USER_AGENT,
        "Accept": "image/*",
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
            response_class=_Response,
        ) as session:
            web = WebTransport(session, limits, connect_to=connect_to, allowed=allowed, clock=clock)
            try:
                yield web
            finally:
                await web.close()
    finally:
        await resolver.close()


def addressed(url: URL, connect_to: ConnectTo | None) -> tuple[URL, dict[str, str]]:
    """The URL to ask and the headers that go with it.

    Under `connect_to` an https link is asked in plain HTTP: a stand-in for the web holds nobody's certificates.
    """
    if connect_to is None:
        return url, {}
    host = url.raw_host or ""
    named = f"[{host}]" if ":" in host else host
    port = url.explicit_port
    mapped = url.with_scheme("http").with_host(connect_to.host).with_port(connect_to.port)
    return mapped, {"Host": f"{named}:{port}" if port else named}


# From the special to the general: the first that fits gives the reason.
_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (aiohttp.ClientConnectorDNSError, Reason.DNS),
    (aiohttp.ClientConnectorCertificateError, Reason.TLS),
    (aiohttp.ClientSSLError, Reason.TLS),
    (aiohttp.ClientConnectorError, Reason.CONNECT),
    (aiohttp.InvalidURL, Reason.BAD_URL),
    (aiohttp.ClientPayloadError, Reason.CUT_SHORT),
    (aiohttp.ServerDisconnectedError, Reason.RESET),
    (aiohttp.ClientOSError, Reason.RESET),
    (aiohttp.ClientResponseError, Reason.BAD_RESPONSE),
    (OSError, Reason.RESET),
    (ValueError, Reason.BAD_URL),
)


def _reason_of(error: BaseException) -> Reason:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.BAD_RESPONSE)
