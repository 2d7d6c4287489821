"""Loopback servers that answer byte for byte what a test says, a resolver that is told its answers, short limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from tasks.web import http
from tasks.web.http import ConnectTo, WebTransport
from tasks.web.limits import FetchLimits
from tasks.web.responses import FetchResult
from tests.virtual_time import now_s

Play = Callable[[asyncio.StreamWriter], Awaitable[None]]
QUICK = FetchLimits(connect_s=0.5, silence_s=0.3, total_s=2, grace_s=0.3, max_bytes=100_000, per_host_per_s=1000)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


# A test beside this one may wait for a Prefect server on a port that was free a moment ago, and find this origin there.
_HEALTH = b"GET /api/health "


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed answer with its Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", f"Location: {location}", status=status)


@dataclass
class Origin:
    """What each path answers (bytes to send, or a function that plays the server), and what was asked of it."""

    replies: dict[str, bytes | Play] = field(default_factory=dict)
    default: bytes | Play = NOT_FOUND
    host: str = "127.0.0.1"
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    num_connections: int = 0
    num_open: int = 0
    most_open: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> ConnectTo:
        return ConnectTo(self.host, self.port)

    @property
    def targets(self) -> list[str]:
        """What stood between the method and the version of each request."""
        return [head.split(b"\r\n", 1)[0][4:-9].decode() for head in self.heads]

    def headers(self, name: str) -> list[str | None]:
        """The value of one header in each request."""
        found = []
        for head in self.heads:
            pairs = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
            found.append(pairs.get(name))
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.num_connections += 1
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(_HEALTH):
                return
            self.heads.append(head)
            reply = self.replies.get(self.targets[-1], self.default)
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
            else:
                await reply(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            self.num_open -= 1
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(origin: Origin) -> AsyncIterator[Origin]:
    server = await asyncio.start_server(origin.serve, origin.host, origin.port)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
        await origin.stop()


@asynccontextmanager
async def playing(reply: bytes | Play) -> AsyncIterator[Origin]:
    """An origin that gives every request the same answer."""
    async with serving(Origin(default=reply)) as origin:
        yield origin


@asynccontextmanager
async def open_web(limits: FetchLimits = QUICK, **options: Any) -> AsyncIterator[WebTransport]:
    """A transport that goes by the clock of the running loop, which may be a virtual one."""
    async with http.open_web(limits, clock=now_s, **options) as web:
        yield web


async def asked(origin: Origin, url: str = "http://a.example/a.jpg", limits: FetchLimits = QUICK) -> FetchResult:
    """What a fresh transport gets for one URL, every host played by the origin."""
    async with open_web(limits, connect_to=origin.address) as web:
        return await web.get(url)


class Told(AbstractResolver):
    """Gives each name its answers one after the other, the last one for ever; no other name resolves."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): list(told) for name, told in answers.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self._answers:
            raise OSError(None, f"{host} was not told")
        told = self._answers[host]
        addresses = told.pop(0) if len(told) > 1 else told[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def drip(head: bytes, piece: bytes, pause_s: float) -> Play:
    """Send `head`, then `piece` after `piece` until the client has enough."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return play


def break_off(head: bytes) -> Play:
    """Send `head`, then a TCP reset."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(0.02)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    return play
