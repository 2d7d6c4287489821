"""What hosts tried, and what came of it: nothing private is reached, nothing is read without end."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from dataclasses import replace
from ipaddress import ip_network

import pytest

from storage.records import Reason
from tasks.web.web_archive import ArchiveTransport
from tests.tasks.web.origin import (
    QUICK,
    Origin,
    Play,
    Told,
    asked,
    drip,
    open_web,
    playing,
    redirect,
    response,
    serving,
)

pytestmark = pytest.mark.attack(0)
OK = b"HTTP/1.1 200 OK\r\n"
CANARY = "127.0.0.2"
LOOPBACK = (ip_network("127.0.0.1/32"),)


@pytest.mark.parametrize(
    "location",
    [
        "http://{host}:{port}/", "//{host}:{port}/", "http://2130706434:{port}/", "http://0x7f000002:{port}/",
        "http://0177.0.0.2:{port}/", "http://127.2:{port}/", "http://[::ffff:127.0.0.2]:{port}/",
        "http://[::ffff:7f00:2]:{port}/", "http://[64:ff9b::7f00:2]:{port}/", "http://[2002:7f00:2::]:{port}/",
        "http://１２７.0.0.2:{port}/", "http://127。0。0。2:{port}/", "http://127.0.0.2.:{port}/",
        "http://a.example@{host}:{port}/", "http://{host}\\@a.example:{port}/", "http:\\\\{host}:{port}/",
        "\\\\{host}:{port}/", "/\\{host}:{port}/", "http://{host}%00.example:{port}/", "http://127%2e0.0.2:{port}/",
        "http://private.example:{port}/", "http://mixed.example:{port}/",
        "gopher://{host}:{port}/", "file:///etc/passwd", "http://{host}:{port}\r\nX: y/", "http://08.8.8.8:{port}/",
    ],
)  # fmt: skip
async def test_a_redirect_never_reaches_a_private_address(location: str) -> None:
    canary = Origin(default=response(b"secret"), host=CANARY)
    resolver = Told(a_example=[["127.0.0.1"]], private_example=[[CANARY]], mixed_example=[["::1", CANARY]])
    async with (
        serving(canary),
        playing(b"") as public,
        open_web(QUICK, allowed=LOOPBACK, resolver=resolver) as web,
    ):
        target = location.format(host=CANARY, port=canary.port)
        public.default = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % target.encode()
        answer = await web.get(f"http://a.example:{public.port}/")
    assert answer.reason in (Reason.NOT_PUBLIC, Reason.BAD_URL, Reason.BAD_RESPONSE, Reason.REDIRECT_LOOP)
    assert canary.num_connections == 0


@pytest.mark.parametrize(
    "address", ["64:ff9b::7f00:2", "2002:7f00:2::", "2001:0:7f00:2::", "::ffff:7f00:2", "fe80::1", "fc00::1", "0.0.0.0"]
)
async def test_a_name_never_leads_to_a_private_address_in_another_form(address: str) -> None:
    async with open_web(QUICK, resolver=Told(a_example=[[address]])) as web:
        assert (await web.get("http://a.example/")).reason is Reason.NOT_PUBLIC


async def test_an_archive_leads_no_further_than_any_other_host() -> None:
    canary = Origin(default=response(b"secret"), host=CANARY)
    async with serving(canary), playing(redirect(f"http://{CANARY}:{canary.port}/")) as public:
        resolver = Told(archive_example=[["127.0.0.1"]])
        async with open_web(QUICK, allowed=LOOPBACK, resolver=resolver) as web:
            archive = ArchiveTransport(web, f"http://archive.example:{public.port}/{{url}}")
            assert (await archive.get("http://a.example/")).reason is Reason.NOT_PUBLIC
    assert canary.num_connections == 0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"\xff\xd8\xff\xe0 a picture without a head", Reason.BAD_RESPONSE),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nx", Reason.HTTP_ERROR),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx", Reason.BAD_RESPONSE),
        (OK + b"Content-Length: -5\r\n\r\nxxxxx", Reason.BAD_RESPONSE),
        (b"HTTP/1.1 " + b"2" * 500_000, Reason.BAD_RESPONSE),
        (OK + b"X: y\r\n" * 100_000 + b"\r\n", Reason.BAD_RESPONSE),
        (OK + b"X: " + b"y" * 5_000_000 + b"\r\n\r\n", Reason.BAD_RESPONSE),
        (response(gzip.compress(b"x"), "Content-Encoding: compress, gzip"), Reason.BAD_RESPONSE),
    ],
    ids=["no head", "another protocol", "two lengths", "a negative length", "a long status", "many headers",
         "a long header", "nested encodings"],
)  # fmt: skip
async def test_what_is_no_answer_is_left_at_once(reply: bytes, reason: Reason) -> None:
    async with playing(reply) as origin:
        answer = await asked(origin)
    assert answer.reason is reason
    assert answer.data == b""


async def test_another_service_that_a_header_names_is_not_asked() -> None:
    async with playing(response(b"secret")) as other, playing(b"") as origin:
        origin.default = response(b"picture", f'Alt-Svc: http/1.1="127.0.0.1:{other.port}"; ma=3600')
        async with open_web(QUICK, connect_to=origin.address) as web:
            assert [(await web.get("http://a.example/")).data for _ in range(2)] == [b"picture"] * 2
    assert other.num_connections == 0


ENDLESS = b"x" * 65_536


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /picture\r\n\r\n",
        OK + b"X-Robots-Tag: noai\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    ],
    ids=["an error", "a redirect", "opted out", "too large"],
)
async def test_the_endless_body_of_what_is_no_picture_is_not_read(head: bytes) -> None:
    flood = drip(head, ENDLESS, 0)
    replies: dict[str, bytes | Play] = {"/picture": response(b"picture")}
    async with serving(Origin(replies, default=flood)) as origin:
        answer = await asked(origin, limits=replace(QUICK, total_s=60))
    assert answer.received_bytes <= len(b"picture")
    assert (answer.data == b"picture") == (b"Location" in head)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK, b"X: " + b"y" * 8000 + b"\r\n"),
        (OK, b"y" * 8000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"y" * 4000 + b"\r\nx\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"y" * 4000 + b"\r\n"),
    ],
    ids=["headers", "a header", "interim answers", "chunk extensions", "trailers"],
)
async def test_a_flood_besides_the_body_takes_little_memory(head: bytes, piece: bytes) -> None:
    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    async with playing(play) as origin:
        tracemalloc.start()
        answer = await asked(origin, limits=replace(QUICK, total_s=60))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert answer.reason is Reason.BAD_RESPONSE
    assert peak < 8_000_000
