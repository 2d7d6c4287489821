"""Asking the web for one picture, within limits: nothing hangs, nothing drowns, nothing private is reached."""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from socket import AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from storage.errors import UsageError
from storage.records import Reason
from tasks.addresses import Network, Refusal, check_url, is_public, parse_url

USER_AGENT = f"facemill/{version('facemill')}"


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request brought: bytes, or the reason why there are none."""

    final_url: str
    data: bytes = b""
    reason: Reason | None = None
    detail: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None


class WebTransport:
    """Gets pictures over HTTP. Make one per process with `open_web`; all units share its limits per host."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limits: FetchLimits,
        *,
        connect_to: ConnectTo | None = None,
        allowed: tuple[Network, ...] = (),
    ) -> None:
        self._session = session
        self._limits = limits
        self._connect_to = connect_to
        self._allowed = allowed
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self.num_requests = 0

    async def get(self, url: str) -> Answer:
        """Ask once, following redirects. Never raises for what the web does."""
        started = time.monotonic()
        where = url
        try:
            async with asyncio.timeout(None) as deadline:
                parsed = parse_url(url)
                seen: set[str] = set()
                while True:
                    where = str(parsed)
                    refused = check_url(parsed, self._allowed)
                    if refused is not None:
                        raise refused
                    if where in seen or len(seen) > self._limits.max_redirects:
                        raise Refusal(Reason.REDIRECT_LOOP, f"after {len(seen)} redirects")
                    seen.add(where)
                    async with self._host(parsed.host or ""), self._slots:
                        if len(seen) == 1:  # the clock starts when a slot is free, not while others are being asked
                            deadline.reschedule(asyncio.get_running_loop().time() + self._limits.total_s)
                        answer = await self._ask(parsed)
                    if isinstance(answer, Answer):
                        return answer
                    parsed = answer
        except Refusal as refusal:
            return Answer(where, reason=refusal.reason, detail=_storable(refusal.detail))
        except TimeoutError:
            return Answer(where, reason=Reason.TIMEOUT, detail=f"after {time.monotonic() - started:.1f} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(where, reason=_reason_of(error), detail=_storable(f"{type(error).__name__}: {error}"))

    async def _ask(self, url: URL) -> Answer | URL:
        """One request: the answer, or where it is redirected to."""
        target, headers = addressed(url, self._connect_to)
        self.num_requests += 1
        async with self._session.get(target, headers=headers, allow_redirects=False) as response:
            return await self._read(url, response)

    async def _read(self, url: URL, response: aiohttp.ClientResponse) -> Answer | URL:
        status = response.status
        if status in (301, 302, 303, 307, 308):
            location = response.headers.get("Location", "")
            return url.join(parse_url(location)) if location else _failed(url, Reason.HTTP_ERROR, response)
        reason = _reason_of_status(status)
        if reason is not None:
            return _failed(url, reason, response)
        if _opted_out(response):
            return _failed(url, Reason.OPTED_OUT, response)
        data = await self._body(response)
        return Answer(str(url), data, http_status=status)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        cap = self._limits.max_bytes
        if (response.content_length or 0) > cap:
            raise Refusal(Reason.TOO_LARGE, f"{response.content_length} bytes, over {cap}")
        started = time.monotonic()
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > cap:
                raise Refusal(Reason.TOO_LARGE, f"over {cap} bytes")
            elapsed = time.monotonic() - started
            if elapsed > self._limits.grace_s and len(body) < elapsed * self._limits.min_bytes_per_s:
                raise Refusal(Reason.TOO_SLOW, f"{len(body)} bytes in {elapsed:.1f} s")
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        return bytes(body) if encoding in ("identity", "") else _inflate(bytes(body), encoding, cap)

    def _host(self, host: str) -> asyncio.Semaphore:
        return self._hosts.setdefault(host.lower(), asyncio.Semaphore(self._limits.per_host))


@asynccontextmanager
async def open_web(
    limits: FetchLimits = FetchLimits(),
    *,
    connect_to: ConnectTo | None = None,
    allowed: tuple[Network, ...] = (),
    contact: str = "",
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[WebTransport]:
    """A transport with its connections, closed at the end.

    Args:
        contact: a URL or mail address that the User-Agent shows to the hosts asked.
        resolver: looks names up; the system's own if not given. Its answers are judged before anything connects.
    """
    resolver = resolver or aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(
        limit=limits.concurrency,
        # Under connect_to the only name looked up is the operator's own.
        resolver=resolver if connect_to else GuardedResolver(resolver, allowed),
        ssl=ssl.create_default_context(),
        ttl_dns_cache=300,
    )
    headers = {
        "User-Agent": f"{USER_AGENT} ({contact})" if contact else USER_AGENT,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
    }
    async with aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.silence_s),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield WebTransport(session, limits, connect_to=connect_to, allowed=allowed)


class GuardedResolver(AbstractResolver):
    """Hands on only those addresses of a name that may be asked; the connection is made to just these."""

    def __init__(self, inner: AbstractResolver, allowed: tuple[Network, ...]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of `host`.

        Raises:
            Refusal: it has addresses, and none of them is public.
            OSError: it has none.
        """
        found = await self._inner.resolve(host, port, family)
        public = [one for one in found if is_public(ip_address(one["host"].partition("%")[0]), self._allowed)]
        if not found:
            raise OSError(None, f"{host} has no address")
        if not public:
            raise Refusal(Reason.NOT_PUBLIC, f"{host} resolves to {found[0]['host']}")
        return public

    async def close(self) -> None:
        """Close the resolver behind."""
        await self._inner.close()


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


def _failed(url: URL, reason: Reason, response: aiohttp.ClientResponse) -> Answer:
    seconds = response.headers.get("Retry-After", "")
    return Answer(
        str(url),
        reason=reason,
        detail=_storable(f"{response.status} {response.reason or ''}".strip()),
        http_status=response.status,
        # The other form of Retry-After, a date, is rare; such a host waits for the ledger's own gap.
        retry_after_s=float(seconds) if seconds.isdecimal() and len(seconds) < 8 else None,
    )


def _reason_of_status(status: int) -> Reason | None:
    if status == 200:
        return None
    named = {
        401: Reason.FORBIDDEN,
        403: Reason.FORBIDDEN,
        404: Reason.GONE,
        410: Reason.GONE,
        429: Reason.RATE_LIMITED,
    }
    return named.get(status, Reason.SERVER_ERROR if status >= 500 else Reason.HTTP_ERROR)


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


def _storable(text: str) -> str:
    """At most 200 letters that a table can hold: bytes of a host that are not UTF-8 arrive as lone surrogates."""
    return text[:200].encode("utf-8", "backslashreplace").decode()


def _opted_out(response: aiohttp.ClientResponse) -> bool:
    """Whether the host asks that its pictures not be used for machine learning (X-Robots-Tag: noai, noimageai)."""
    words = ",".join(response.headers.getall("X-Robots-Tag", [])).replace(":", ",").lower().split(",")
    return any(word.strip() in ("noai", "noimageai") for word in words)


def _inflate(data: bytes, encoding: str, cap: int) -> bytes:
    """Undo a Content-Encoding that was not asked for, never beyond `cap` bytes."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Refusal(Reason.BAD_RESPONSE, f"Content-Encoding {encoding[:20]!r}")
    inflater = zlib.decompressobj(wbits=47)
    try:
        plain = inflater.decompress(data, cap + 1)
    except zlib.error as error:
        raise Refusal(Reason.BAD_RESPONSE, f"{encoding}: {error}") from error
    if len(plain) > cap:
        raise Refusal(Reason.TOO_LARGE, f"over {cap} bytes once unpacked")
    if data and not inflater.eof:
        raise Refusal(Reason.CUT_SHORT, f"{encoding}: the end is missing")
    return plain
