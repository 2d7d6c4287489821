from __future__ import annotations

import asyncio
import gzip
import ipaddress
import itertools
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.errors import UsageError
from storage.records import Reason
from tasks.web.addresses import parse_url
from tasks.web.http import ConnectTo, addressed
from tasks.web.limits import FetchLimits
from tasks.web.responses import FetchResult
from tests.fuzzing import examples
from tests.tasks.web.origin import (
    NOT_FOUND,
    QUICK,
    Origin,
    Play,
    Told,
    asked,
    break_off,
    drip,
    hang,
    open_web,
    playing,
    redirect,
    response,
    serving,
)  # fmt: skip
from tests.virtual_time import VirtualTimeLoop

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"


def bomb(num_mb: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(num_mb)) + packer.flush()


# -- what one answer means --


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, Reason.GONE),
        (410, Reason.GONE),
        (401, Reason.FORBIDDEN),
        (403, Reason.FORBIDDEN),
        (429, Reason.RATE_LIMITED),
        (500, Reason.SERVER_ERROR),
        (503, Reason.SERVER_ERROR),
        (520, Reason.SERVER_ERROR),
        (999, Reason.SERVER_ERROR),
        (204, Reason.HTTP_ERROR),
        (206, Reason.HTTP_ERROR),
        (300, Reason.HTTP_ERROR),
        (304, Reason.HTTP_ERROR),
        (400, Reason.HTTP_ERROR),
        (418, Reason.HTTP_ERROR),
    ],
)
async def test_a_status_gives_its_reason(status: int, reason: Reason) -> None:
    async with playing(response(b"" if status in (204, 304) else b"x", status=f"{status} Some Words")) as origin:
        answer = await asked(origin)
    assert (answer.reason, answer.http_status, answer.data) == (reason, status, b"")
    assert answer.detail == f"{status} Some Words"
    assert len(origin.heads) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("soon", None), ("-3", None), ("1.5", None), ("9" * 20, None), ("", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2337 07:28:00 GMT", None)],
)  # fmt: skip
async def test_retry_after_is_read_as_seconds(header: str, seconds: float | None) -> None:
    async with playing(response(b"", f"Retry-After: {header}", status="429 Slow Down")) as origin:
        answer = await asked(origin)
    assert (answer.reason, answer.retry_after_s) == (Reason.RATE_LIMITED, seconds)


async def test_a_picture_comes_as_its_bytes() -> None:
    data = bytes(range(256)) * 100
    async with playing(response(data)) as origin:
        answer = await asked(origin, "https://a.example/a.jpg")
    assert answer == FetchResult("https://a.example/a.jpg", data, http_status=200)


@pytest.mark.parametrize(
    "headers",
    [
        ["noai"], ["noimageai"], ["NoAI"], ["noindex, NOIMAGEAI , nofollow"], ["facemill: noai"],
        ["noindex", "all", "noai"], ["otherbot: noindex, noai"],
    ],
)  # fmt: skip
async def test_a_host_that_opts_out_is_obeyed(headers: list[str]) -> None:
    async with playing(response(b"picture", *[f"x-rObots-tag: {header}" for header in headers])) as origin:
        answer = await asked(origin)
    assert (answer.reason, answer.data) == (Reason.OPTED_OUT, b"")


@pytest.mark.parametrize("header", ["noindex", "noarchive, nofollow", "noaircraft", ""])
async def test_other_robots_tags_opt_out_of_nothing(header: str) -> None:
    async with playing(response(b"picture", f"X-Robots-Tag: {header}")) as origin:
        assert (await asked(origin)).data == b"picture"


# -- redirects --


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "host", "target"),
    [
        ("http://b.example/x%2F%252f.jpg?q=%20", "b.example", "/x%2F%252f.jpg?q=%20"),
        ("https://b.example:8443/x.jpg", "b.example:8443", "/x.jpg"),
        ("//b.example/x.jpg", "b.example", "/x.jpg"),
        ("/x y.jpg", "a.example", "/x%20y.jpg"),
        ("x\xe9.jpg", "a.example", "/dir/x%E9.jpg"),
        ("../x.jpg", "a.example", "/x.jpg"),
        ("?q", "a.example", "/dir/a.jpg?q"),
    ],
)
async def test_a_redirect_is_followed(status: int, location: str, host: str, target: str) -> None:
    moved = redirect(location, f"{status} Moved")
    replies: dict[str, bytes | Play] = {"/dir/a.jpg": moved, target: response(b"picture")}
    async with serving(Origin(replies)) as origin:
        answer = await asked(origin, "http://a.example/dir/a.jpg")
    assert (answer.data, answer.reason) == (b"picture", None)
    assert origin.targets == ["/dir/a.jpg", target]
    assert origin.headers("Host") == ["a.example", host]
    assert answer.final_url.endswith(f"{host}{target}")


@pytest.mark.parametrize("replies", [{"/a": "/a"}, {"/a": "/b", "/b": "http://a.example/a"}])
async def test_redirects_in_a_circle_end(replies: dict[str, str]) -> None:
    async with serving(Origin({path: redirect(location) for path, location in replies.items()})) as origin:
        answer = await asked(origin, "http://a.example/a")
    assert answer.reason is Reason.REDIRECT_LOOP
    assert len(origin.heads) == len(replies)


@pytest.mark.case(9)
async def test_so_many_redirects_are_followed_and_no_more() -> None:
    replies = {f"/{n}": redirect(f"/{n + 1}") for n in range(30)} | {"/20": response(b"picture")}
    async with serving(Origin(dict(replies))) as origin:
        assert (await asked(origin, "http://a.example/0")).data == b"picture"
        origin.replies["/20"] = redirect("/21")
        answer = await asked(origin, "http://a.example/0")
    assert (answer.reason, origin.targets[-1]) == (Reason.REDIRECT_LOOP, "/20")


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1/x", Reason.NOT_PUBLIC),
        ("http://2130706433/x", Reason.NOT_PUBLIC),
        ("//10.0.0.1/x", Reason.NOT_PUBLIC),
        ("http://[::ffff:169.254.169.254]/latest", Reason.NOT_PUBLIC),
        ("http://localhost/x", Reason.NOT_PUBLIC),
        ("file:///etc/passwd", Reason.NOT_PUBLIC),
        ("ftp://a.example/x", Reason.NOT_PUBLIC),
        ("data:image/png;base64,AA", Reason.NOT_PUBLIC),
        ("http://user:pw@b.example/", Reason.NOT_PUBLIC),
        ("http://b.invalid/", Reason.DNS),
        ("http://b.example:99999/", Reason.BAD_URL),
        ("http://[b/", Reason.BAD_URL),
    ],
)
async def test_a_redirect_to_where_nobody_may_go_is_refused(location: str, reason: Reason) -> None:
    async with playing(redirect(location)) as origin:
        answer = await asked(origin)
    assert answer.reason is reason
    assert len(origin.heads) == 1


@pytest.mark.parametrize("reply", [response(b"", status="302 Found"), redirect("")])
async def test_a_redirect_to_nowhere_is_an_error(reply: bytes) -> None:
    async with playing(reply) as origin:
        answer = await asked(origin)
    assert (answer.reason, answer.http_status) == (Reason.HTTP_ERROR, 302)


# -- servers that take their time, or never end --


async def test_a_server_that_says_nothing_times_out() -> None:
    async with playing(hang) as origin:
        assert (await asked(origin)).reason is Reason.TIMEOUT


async def test_a_server_that_falls_silent_in_the_body_times_out() -> None:
    async with playing(drip(LONG, b"x", 60)) as origin:
        assert (await asked(origin)).reason is Reason.TIMEOUT


@pytest.mark.attack(0)
async def test_headers_that_never_end_time_out() -> None:
    limits = replace(QUICK, total_s=0.5)
    async with playing(drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.1)) as origin:
        answer = await asked(origin, limits=limits)
    assert answer.reason is Reason.TIMEOUT


@pytest.mark.attack(0)
async def test_a_drip_is_too_slow() -> None:
    async with playing(drip(LONG, b"x" * 50, 0.1)) as origin:
        answer = await asked(origin)
    assert answer.reason is Reason.TOO_SLOW


async def test_the_clock_of_a_request_starts_when_its_turn_comes() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(response(b"picture"))

    async with (
        playing(slow) as origin,
        open_web(replace(QUICK, total_s=0.5, per_host=1), connect_to=origin.address) as web,
    ):
        answers = await asyncio.gather(*[web.get(f"http://a.example/{n}") for n in range(5)])
    assert [answer.reason for answer in answers] == [None] * 5


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    "reply",
    [
        drip(CHUNKED, b"1000\r\n" + bytes(4096) + b"\r\n", 0),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", bytes(4096), 0),
        response(bytes(100_001)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n",
        response(bomb(1), "Content-Encoding: gzip"),
    ],
    ids=["endless chunks", "endless until close", "one byte over", "large by its own word", "packed"],
)
async def test_a_body_over_the_cap_is_too_large(reply: bytes) -> None:
    async with playing(reply) as origin:
        answer = await asked(origin)
    assert (answer.reason, answer.data) == (Reason.TOO_LARGE, b"")


async def test_a_body_of_just_the_cap_is_taken() -> None:
    async with playing(response(bytes(100_000))) as origin:
        assert len((await asked(origin)).data) == 100_000


@pytest.mark.attack(0)
async def test_a_gzip_bomb_takes_no_more_memory_than_the_cap() -> None:
    async with playing(response(bomb(80), "Content-Encoding: gzip")) as origin:
        tracemalloc.start()
        answer = await asked(origin, limits=replace(QUICK, max_bytes=1_000_000))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert answer.reason is Reason.TOO_LARGE
    assert peak < 8_000_000


# -- encodings nobody asked for --


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip", "deflate", "identity", ""])
async def test_a_packed_body_is_unpacked(encoding: str) -> None:
    picture = b"picture" * 99
    packed = {"deflate": zlib.compress(picture), "identity": picture, "": picture}.get(encoding, gzip.compress(picture))
    async with playing(response(packed, f"Content-Encoding: {encoding}")) as origin:
        assert (await asked(origin)).data == picture
    assert origin.headers("Accept-Encoding") == ["identity"]


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"picture", "br", Reason.BAD_RESPONSE),
        (b"picture", "gzip, gzip", Reason.BAD_RESPONSE),
        (b"picture", "\xff\xfe", Reason.BAD_RESPONSE),
        (b"not gzip at all", "gzip", Reason.BAD_RESPONSE),
        (gzip.compress(b"picture" * 99)[:-12], "gzip", Reason.CUT_SHORT),
    ],
    ids=["unknown", "twice", "not a word", "not packed", "cut short"],
)
async def test_a_body_that_cannot_be_unpacked_is_a_reason(body: bytes, encoding: str, reason: Reason) -> None:
    async with playing(response(body, f"Content-Encoding: {encoding}")) as origin:
        assert (await asked(origin)).reason is reason


# -- connections that break --


@pytest.mark.parametrize(
    "reply",
    [
        LONG + bytes(45_000),
        CHUNKED + b"1000\r\n" + bytes(4000),
        break_off(LONG + bytes(9000)),
    ],
    ids=["closed early", "closed within a chunk", "reset within the body"],
)
async def test_a_body_that_stops_short_is_cut_short(reply: bytes) -> None:
    async with playing(reply) as origin:
        answer = await asked(origin)
    assert (answer.reason, answer.data) == (Reason.CUT_SHORT, b"")


@pytest.mark.parametrize("reply", [b"", break_off(b""), break_off(b"HTTP/1.1 200")])
async def test_a_connection_broken_before_the_answer_is_reset(reply: bytes) -> None:
    async with playing(reply) as origin:
        assert (await asked(origin)).reason is Reason.RESET


async def test_a_port_where_nobody_listens_is_a_failed_connection() -> None:
    async with playing(b"") as origin:
        pass
    assert (await asked(origin)).reason is Reason.CONNECT


async def test_a_server_that_does_not_take_the_connection_times_out() -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    waiting = [socket.create_connection(("127.0.0.1", port))]
    try:
        with pytest.raises(TimeoutError):
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
        answer = await asked(Origin(port=port), limits=replace(QUICK, connect_s=0.2))
    finally:
        for one in [full, *waiting]:
            one.close()
    assert answer.reason is Reason.TIMEOUT


@pytest.mark.parametrize("is_encrypted", [True, False])
async def test_tls_that_fails_is_its_own_reason(certified: ssl.SSLContext, is_encrypted: bool) -> None:
    async def answer_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(NOT_FOUND)
        writer.close()

    context = certified if is_encrypted else None
    server = await asyncio.start_server(answer_at_once, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, open_web(QUICK, allowed=LOOPBACK, resolver=Told(a_example=[["127.0.0.1"]])) as web:
        answer = await web.get(f"https://a.example:{port}/")
    assert answer.reason is Reason.TLS
    assert ("certificate" in answer.detail) == is_encrypted


@pytest.fixture
def certified(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS with a certificate that nobody signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = tmp_path / "server.pem"
    file.write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


# -- names --


async def test_a_name_that_does_not_resolve_is_a_reason() -> None:
    async with open_web(QUICK, resolver=Told(empty_example=[[]])) as web:
        for url in ["http://gone.example/", "http://empty.example/", "http://b.invalid/"]:
            assert (await web.get(url)).reason is Reason.DNS


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:127.0.0.1"]
)
async def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    async with playing(response(b"secret")) as origin, open_web(QUICK, resolver=Told(a_example=[[address]])) as web:
        answer = await web.get(f"http://a.example:{origin.port}/")
    assert answer.reason is Reason.NOT_PUBLIC
    assert origin.num_connections == 0


@pytest.mark.attack(0)
async def test_a_name_that_changes_its_answer_never_leads_to_the_private_address() -> None:
    private = Origin(default=response(b"secret"), host="127.0.0.2")
    async with playing(response(b"picture")) as public:
        private.port = public.port
        async with serving(private):
            url = f"http://a.example:{public.port}/"
            resolver = Told(a_example=[["127.0.0.1"], ["127.0.0.2"]])
            async with open_web(QUICK, allowed=LOOPBACK, resolver=resolver) as web:
                assert [(await web.get(url)).data for _ in range(3)] == [b"picture"] * 3
            async with open_web(QUICK, allowed=LOOPBACK, resolver=resolver) as web:
                assert (await web.get(url)).reason is Reason.NOT_PUBLIC
            assert resolver.asked == ["a.example"] * 2
            both = Told(a_example=[["127.0.0.2", "127.0.0.1"]])
            async with open_web(QUICK, allowed=LOOPBACK, resolver=both) as web:
                assert (await web.get(url)).data == b"picture"
    assert private.num_connections == 0


@pytest.mark.attack(0)
async def test_a_literal_private_address_is_not_even_connected_to() -> None:
    async with playing(response(b"secret")) as origin, open_web(QUICK, resolver=Told()) as web:
        for host in ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]", "１２７.0.0.1"]:
            assert (await web.get(f"http://{host}:{origin.port}/")).reason is Reason.NOT_PUBLIC
    assert origin.num_connections == 0


# -- what the server is shown --


@pytest.mark.case(16)
@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://a.example/%2F%252f/%zz?q=%20&r=a+b#part", "a.example", "/%2F%252f/%zz?q=%20&r=a+b"),
        ("http://a.example:8080/x", "a.example:8080", "/x"),
        ("https://a.example:444/x", "a.example:444", "/x"),
        ("http://a.example/ü b.jpg", "a.example", "/%C3%BC%20b.jpg"),
        ("http://a.example/a/../b//c/./d", "a.example", "/a/../b//c/./d"),
        ("http://a.example", "a.example", "/"),
        ("http://a.example?q", "a.example", "/?q"),
        ("http://8.8.8.8:81/x", "8.8.8.8:81", "/x"),
        ("http://[2606:4700::1111]:81/x", "[2606:4700::1111]:81", "/x"),
        ("http://münchen.example/", "xn--mnchen-3ya.example", "/"),
        ("http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "/"),
        ('http://a.example/a"b<c>d`e{f}g^h.jpg', "a.example", "/a%22b%3Cc%3Ed%60e%7Bf%7Dg%5Eh.jpg"),
        ("http://a.example/a?q=\"<>'`{}^|", "a.example", "/a?q=%22%3C%3E%27`{}^|"),
        ('http://a.example/a%22%3c?q=%27%3E"', "a.example", "/a%22%3c?q=%27%3E%22"),
        ("http://a.example/é\"ü?ö='", "a.example", "/%C3%A9%22%C3%BC?%C3%B6=%27"),
        ("http://a.example/dir\\x.jpg?a\\b", "a.example", "/dir/x.jpg?a\\b"),
        ("http://a.example/a\tb\nc\r.jpg", "a.example", "/abc.jpg"),
        ("  http://a.example/x y  ", "a.example", "/x%20y"),
        ("http://a.example/x\x7fy\x01", "a.example", "/x%7Fy%01"),
        ('http://a.example/x#a"b', "a.example", "/x"),
        ("http://under_score.example/'()[]|~;:@!$,*", "under_score.example", "/'()[]|~;:@!$,*"),
    ],
)
async def test_a_url_reaches_the_server_as_browsers_send_it(url: str, host: str, target: str) -> None:
    async with playing(response(b"picture")) as origin:
        assert (await asked(origin, url)).data == b"picture"
    assert (origin.targets, origin.headers("Host")) == ([target], [host])


async def test_without_connect_to_the_host_and_path_are_the_same() -> None:
    async with (
        playing(response(b"picture")) as origin,
        open_web(QUICK, allowed=LOOPBACK, resolver=Told(a_example=[["127.0.0.1"]])) as web,
    ):
        await web.get(f"http://a.example:{origin.port}/%2F%252f/é?q=%20")
    assert (origin.targets, origin.headers("Host")) == (["/%2F%252f/%C3%A9?q=%20"], [f"a.example:{origin.port}"])


async def test_cookies_are_neither_kept_nor_sent() -> None:
    reply = response(b"picture", "Set-Cookie: id=1; Path=/", "Set-Cookie: broken")
    async with (
        serving(Origin({"/a": redirect("/b")}, default=reply)) as origin,
        open_web(QUICK, connect_to=origin.address) as web,
    ):
        for path in ["/x", "/a", "/x"]:
            assert (await web.get(f"http://a.example{path}")).data == b"picture"
    assert origin.headers("Cookie") == [None] * 4


@pytest.mark.attack(0)
async def test_neither_proxies_nor_passwords_of_the_environment_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine a.example login me password secret\ndefault login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with playing(response(b"proxy")) as proxy, playing(response(b"picture")) as origin:
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"]:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await asked(origin)).data == b"picture"
    assert proxy.num_connections == 0
    assert origin.headers("Authorization") == [None]


async def test_the_user_agent_says_who_asks_and_how_to_reach_them() -> None:
    async with playing(response(b"picture")) as origin:
        async with open_web(QUICK, connect_to=origin.address, contact="me@a.example") as web:
            await web.get("http://b.example/")
        await asked(origin)
    with_contact, without = origin.headers("User-Agent")
    assert with_contact == f"{without} (me@a.example)"
    assert without is not None and without.startswith("facemill/")


# -- how many at a time --


async def most_at_once(limits: FetchLimits, urls: list[str]) -> int:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.03)
        writer.write(response(b"picture"))

    async with playing(slow) as origin, open_web(limits, connect_to=origin.address) as web:
        answers = await asyncio.gather(*map(web.get, urls))
        assert {answer.data for answer in answers} == {b"picture"}
        assert web.num_requests == len(origin.heads) == len(urls)
    return origin.most_open


async def test_one_host_is_asked_few_things_at_a_time() -> None:
    urls = [f"http://{host}/{n}" for n in range(6) for host in ["a.example", "A.Example", "a.example:80"]]
    assert await most_at_once(replace(QUICK, per_host=2), urls) == 2


async def test_all_hosts_together_are_asked_so_much_at_a_time() -> None:
    urls = [f"http://{n}.example/" for n in range(20)]
    assert await most_at_once(replace(QUICK, concurrency=5), urls) == 5


async def test_a_slow_host_does_not_hold_up_another() -> None:
    async with (
        serving(Origin({"/hang": hang}, default=response(b"picture"))) as origin,
        open_web(replace(QUICK, per_host=1), connect_to=origin.address) as web,
    ):
        slow = [asyncio.create_task(web.get("http://slow.example/hang")) for _ in range(3)]
        async with asyncio.timeout(0.25):
            answers = [await web.get(f"http://b.example/{n}") for n in range(5)]
        assert [answer.data for answer in answers] == [b"picture"] * 5
        for task in slow:
            task.cancel()


# -- connect_to --


async def test_an_ipv6_address_can_be_connected_to() -> None:
    origin = Origin(default=response(b"picture"), host="::1")
    try:
        async with serving(origin):
            assert (await asked(origin)).data == b"picture"
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_localhost_can_be_connected_to() -> None:
    async with (
        playing(response(b"picture")) as origin,
        open_web(QUICK, connect_to=ConnectTo("localhost", origin.port)) as web,
    ):
        assert (await web.get("http://a.example/")).data == b"picture"


def test_connect_to_is_read_from_text() -> None:
    assert ConnectTo.parse("127.0.0.1:8000") == ConnectTo("127.0.0.1", 8000)
    assert ConnectTo.parse("[::1]:80") == ConnectTo("::1", 80)
    for text in [
        "",
        "8000",
        ":8000",
        "a.example",
        "a.example:",
        "a.example:0",
        "a.example:65536",
        "a.example:x",
        "a:-1",
    ]:
        with pytest.raises(UsageError, match="HOST:PORT"):
            ConnectTo.parse(text)


def test_without_connect_to_nothing_is_readdressed() -> None:
    url = parse_url("https://a.example:444/x")
    assert addressed(url, None) == (url, {})


# -- whatever comes --


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    "reply",
    [
        b"<html>hello</html>\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01" * 9,
        b"HTTP/1.1 banana OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx",
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", id="many headers"),
    ],
)
async def test_what_is_no_http_is_a_bad_response(reply: bytes) -> None:
    async with playing(reply) as origin:
        answer = await asked(origin)
    assert answer.reason is Reason.BAD_RESPONSE
    assert is_storable(answer)


async def test_words_of_a_server_that_are_not_utf8_can_be_stored() -> None:
    async with playing(b"HTTP/1.1 404 \xff\xfe" + b"x" * 900 + b"\r\n\r\n") as origin:
        answer = await asked(origin)
    assert answer.reason is Reason.GONE
    assert is_storable(answer)


def is_storable(answer: FetchResult) -> bool:
    """Whether a table can hold it: short text that is UTF-8, a status that fits 16 bits."""
    answer.detail.encode()
    return len(answer.detail) < 1000 and (answer.http_status or 0) < 2**15


URL_PIECES = st.sampled_from(
    ["http://", "https://", "//", "a.example", "b.invalid", "127.0.0.1", "[::1]", "[", "]", "@", ":", "/", "?", "#",
     "%", "%00", "\r\n", " ", "é", "\0", "..", "99999", "xn--", "xn--a", "\\", "。", "\ud800", "a" * 300]
)  # fmt: skip


HEADS = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 302 Found\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
     b"HTTP/1.1 ", b"Content-Length: 3\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
     b"Content-Encoding: gzip\r\n",
     b"Location: /x\r\n", b"Location: ", b"Set-Cookie: ", b"X-Robots-Tag: ", b"Retry-After: ", b"\r\n", b"\n",
     b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffffff\r\n", b"\x00", b"\xff\xfe"]
)  # fmt: skip


@contextmanager
def at_hand(reply: bytes) -> Iterator[tuple[Origin, Callable[[str], FetchResult]]]:
    """An origin and a way to ask it, for tests that are not async."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        stack = AsyncExitStack()
        origin = runner.run(stack.enter_async_context(playing(reply)))
        web = runner.run(stack.enter_async_context(open_web(QUICK, connect_to=origin.address)))
        try:
            yield origin, lambda url: runner.run(web.get(url))
        finally:
            runner.run(stack.aclose())


def test_any_text_asked_for_is_an_answer() -> None:
    texts = st.lists(URL_PIECES | st.text(max_size=5), max_size=8).map("".join)
    with at_hand(response(b"", status="404 Gone")) as (_, ask):

        @given(texts | texts.map("http://a.example/{}".format) | texts.map("http://{}.example/".format))
        @example("http://a.example:80\r\nX: y/")
        @example("http://xn--.example/")
        @example("http://" + "a" * 70 + ".example/")
        @settings(max_examples=examples(300), database=None)
        def check(text: str) -> None:
            answer = ask(text)
            assert answer.reason is not None
            assert is_storable(answer)

        check()


@pytest.mark.attack(0)
def test_any_bytes_of_a_server_are_an_answer() -> None:
    replies = st.lists(HEADS | st.binary(max_size=9), max_size=9).map(b"".join)
    numbers = itertools.count()
    with at_hand(b"") as (origin, ask):

        @given(replies | replies.map(b"HTTP/1.1 200 OK\r\n".__add__))
        @settings(max_examples=examples(100), database=None)
        def check(reply: bytes) -> None:
            origin.default = reply
            # A host each: one that is down after a few of these would not be asked any more.
            answer = ask(f"http://{next(numbers)}.example/a.jpg")
            assert is_storable(answer)
            assert answer.reason is not Reason.HOST_DOWN
            assert answer.reason is None or not answer.data

        check()
