"""Request handlers of the origin: one function per kind of response, listed at the end."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from synthetic.response_table import Response

_DRIP_BYTES = 512
_SLOW_S = 2.0
_MISSING_BYTES = 5000
_BOMB_BYTES = 200_000_000
_CHUNK_BYTES = 1_000_000
_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "html": "text/html; charset=utf-8",
}
# Linger for 0 seconds: closing such a socket sends a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LONGER_THAN_ANYONE_WAITS_S = 7 * 24 * 3600.0


class Exchange(NamedTuple):
    """A request with its response, headers and the folder of bodies."""

    request: web.BaseRequest
    response: Response
    headers: dict[str, str]
    bodies: Path


async def _image(exchange: Exchange) -> web.StreamResponse:
    return web.Response(status=exchange.response.status, body=_body(exchange), headers=_headers(exchange))


async def _redirect(exchange: Exchange) -> web.StreamResponse:
    response = exchange.response
    location = response.url if response.location == "SELF" else response.location
    return web.Response(status=response.status, headers=exchange.headers | {"Location": location})


async def _reset(exchange: Exchange) -> web.StreamResponse:
    transport = exchange.request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    return web.Response()


async def _nxdomain(exchange: Exchange) -> web.StreamResponse:
    if exchange.request.transport is not None:
        exchange.request.transport.close()
    return web.Response()


async def _hang(exchange: Exchange) -> web.StreamResponse:
    await asyncio.sleep(_LONGER_THAN_ANYONE_WAITS_S)
    return web.Response()


async def _slow(exchange: Exchange) -> web.StreamResponse:
    await asyncio.sleep(_SLOW_S)
    return await _image(exchange)


async def _drip(exchange: Exchange) -> web.StreamResponse:
    data = _body(exchange)
    stream = await _started(exchange, {"Content-Length": str(len(data))})
    for start in range(0, len(data), _DRIP_BYTES):
        await stream.write(data[start : start + _DRIP_BYTES])
        await asyncio.sleep(1)
    return stream


async def _truncated(exchange: Exchange) -> web.StreamResponse:
    data = _body(exchange)
    stream = await _started(exchange, {"Content-Length": str(len(data) + _MISSING_BYTES)})
    await stream.write(data)
    if exchange.request.transport is not None:
        exchange.request.transport.close()
    return stream


async def _endless(exchange: Exchange) -> web.StreamResponse:
    stream = await _started(exchange, {})
    chunk = b"\xff\xd8\xff\xe0" + bytes(range(1, 256)) * 256
    while True:
        await stream.write(chunk)


async def _gzip_bomb(exchange: Exchange) -> web.StreamResponse:
    stream = await _started(exchange, {"Content-Encoding": "gzip"})
    first, middle, last = _bomb_parts()
    await stream.write(first)
    for _ in range(_BOMB_BYTES // _CHUNK_BYTES):
        await stream.write(middle)
    await stream.write(last)
    return stream


async def _started(exchange: Exchange, framing: dict[str, str]) -> web.StreamResponse:
    """Start a streamed response; chunked if `framing` has no length."""
    stream = web.StreamResponse(status=exchange.response.status, headers=_headers(exchange) | framing)
    if "Content-Length" not in framing:
        stream.enable_chunked_encoding()
    await stream.prepare(exchange.request)
    return stream


def _headers(exchange: Exchange) -> dict[str, str]:
    ending = exchange.response.body.rpartition(".")[2] or "jpg"
    return {"Content-Type": _TYPES.get(ending, "application/octet-stream")} | exchange.headers


def _body(exchange: Exchange) -> bytes:
    """Read the body; the system's page cache is sufficient."""
    return (exchange.bodies / exchange.response.body).read_bytes() if exchange.response.body else b""


@cache
def _bomb_parts() -> tuple[bytes, bytes, bytes]:
    """Head, repeated block and tail of a gzip of 200 MB of zeros.

    With a full flush every megabyte compresses to the same kilobyte, so the 200 MB never exist in memory.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(_CHUNK_BYTES)
    middle = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(_BOMB_BYTES // _CHUNK_BYTES):
        crc = zlib.crc32(zeros, crc)
    head = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255])
    return head, middle, packer.flush(zlib.Z_FINISH) + struct.pack("<II", crc, _BOMB_BYTES)


HANDLERS: dict[str, Callable[[Exchange], Awaitable[web.StreamResponse]]] = {
    "image": _image,
    "status": _image,
    "html": _image,
    "redirect": _redirect,
    "nxdomain": _nxdomain,
    "reset": _reset,
    "hang": _hang,
    "slow": _slow,
    "drip": _drip,
    "truncated": _truncated,
    "endless": _endless,
    "gzipbomb": _gzip_bomb,
}
