"""An origin on 127.0.0.1 in a separate process that responds as fast as Python can; its cost is not counted.

The path selects the response: `/<kind>/<number>`. Pictures are drawn; each number has different bytes, by a comment
in the JPEG. Kinds: good, missing, error, reset, html, truncated, hang, drip.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import cast

import numpy as np
from PIL import Image

from synthetic.identity import sample_identity
from synthetic.portrait import draw

_NUM_PICTURES = 24
_HTML = b"<!doctype html><title>Not found</title><p>This picture has moved.</p>" * 60
# Reset instead of a normal close: the socket drops its data.
_LINGER_NOT = struct.pack("ii", 1, 0)


@contextmanager
def origin(num_bytes: int, *, close: bool = False) -> Iterator[int]:
    """Serve pictures of about `num_bytes` each; yields the port. `close`: one connection per request."""
    command = [sys.executable, "-m", "bench.loopback", str(num_bytes), *(["--close"] if close else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()  # it ends with its input


def pictures(num_bytes: int) -> list[bytes]:
    """Drawn portraits as JPEGs of about `num_bytes`: 640 px for 58 KB, smaller ones in proportion."""
    rng = np.random.default_rng(0)
    side = max(round(640 * (num_bytes / 58_000) ** 0.5), 96)
    return [_encoded(draw(sample_identity(rng), rng).image, side, num_bytes, rng) for _ in range(_NUM_PICTURES)]


def _encoded(image: Image.Image, side: int, num_bytes: int, rng: np.random.Generator) -> bytes:
    """`image` with its longer side of `side` pixels, with grain, at the quality that comes closest to `num_bytes`."""
    scale = side / max(image.size)
    pixels = np.asarray(image.resize((round(image.width * scale), round(image.height * scale))), dtype=np.float32)
    grainy = Image.fromarray((pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))
    tried = []
    for quality in range(30, 97, 3):
        file = BytesIO()
        grainy.save(file, "JPEG", quality=quality)
        tried.append(file.getvalue())
    return min(tried, key=lambda data: abs(len(data) - num_bytes))


class _Answering(asyncio.Protocol):
    """One connection; responds to each request once its headers are complete."""

    def __init__(self, bodies: list[bytes], *, close: bool) -> None:
        self._bodies = bodies
        self._close = close
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._socket: socket.socket = transport.get_extra_info("socket")
        # A whole picture at a time.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            head, self._head = self._head, b""
            _, kind, number = head.split(b" ", 2)[1].split(b"/")
            is_last = self._close or b"\nconnection: close" in head.lower()
            self._answer(kind.decode(), int(number.partition(b".")[0]), is_last)

    def _answer(self, kind: str, number: int, is_last: bool) -> None:
        match kind:
            case "good":
                self._send(b"200 OK", b"image/jpeg", self._picture(number))
            case "missing":
                self._send(b"404 Not Found", b"text/html", _HTML)
            case "error":
                self._send(b"500 Internal Server Error", b"text/html", _HTML)
            case "html":
                self._send(b"200 OK", b"text/html", _HTML)
            case "truncated":
                self._send(b"200 OK", b"image/jpeg", self._picture(number)[:-5000], promised=5000)
                is_last = True
            case "reset":
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                self._transport.abort()
            case "drip":
                self._send(b"200 OK", b"image/jpeg", b"\xff\xd8\xff", promised=100_000)
                self._drip()
                return
            case _:  # hang
                return
        if is_last:
            self._transport.close()

    def _picture(self, number: int) -> bytes:
        """Start of image, a comment with the number, the rest."""
        body = self._bodies[number % len(self._bodies)]
        return body[:2] + b"\xff\xfe\x00\x0a" + b"%08d" % number + body[2:]

    def _send(self, status: bytes, kind: bytes, body: bytes, promised: int = 0) -> None:
        length = len(body) + promised
        self._transport.write(
            b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, length, body)
        )

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"x" * 512)
            asyncio.get_running_loop().call_later(1.0, self._drip)


async def _serve(bodies: list[bytes], close: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answering(bodies, close=close), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("num_bytes", type=int)
    parser.add_argument("--close", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(_serve(pictures(arguments.num_bytes), arguments.close))
