import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from storage.errors import LinksUnavailable, SourceError
from storage.files.lake import Lake
from tasks.links import link_server
from tasks.links.collect import collect_links
from tasks.links.link_server import LinkLimits, open_link_server
from tasks.links.sources import SOURCES, vggface1
from tasks.web.http import USER_AGENT, ConnectTo
from tests.tasks.web.link_host import FAST, archive, below_links, index, links, rows, serving
from tests.tasks.web.origin import Told

VGG = SOURCES["vggface1"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


async def test_a_base_url_is_read_through_its_index_and_nothing_outside_its_folder(lake):
    page = index(
        "A.txt", "./J._O%27B.txt", "/links/C.txt", "README.txt", "notes.md", "../D.txt", "sub/E.txt", "http://h.example/links/F.txt",
        "http://[bad", "mailto:x", "?C=M", "%2e%2e%2fG.txt",
    )  # fmt: skip
    bodies = {
        "/links/": page,
        "/links/A.txt": links(1),
        "/links/J._O'B.txt": links(2),
        "/links/C.txt": links(3),
    }
    async with serving(bodies) as server:
        seen: list[int] = []
        for location in ["/links/", "/links"]:
            await collect_links(lake, VGG, server.url + location, on_progress=seen.append)
    assert rows(lake) == [("A", 1), ("C", 3), ("J._O'B", 2)]
    assert set(server.paths) == set(bodies)
    assert seen == [1, 2, 3, 3] * 2


async def test_named_identities_are_asked_for_without_an_index(lake):
    async with serving({"/x/A.txt": links(1), "/x/B.txt": links(1)}) as server:
        await collect_links(lake, VGG, server.url + "/x", identities=["B", "A"])
        assert sorted(server.paths) == ["/x/A.txt", "/x/B.txt"]
        assert (await collect_links(lake, VGG, server.url + "/x", identities=["B"])).changed
        with pytest.raises(SourceError, match="cannot be the name of a link file"):
            await collect_links(lake, VGG, server.url + "/x", identities=["../B"])
    assert rows(lake) == [("B", 1)]


async def test_connect_to_sends_every_host_to_one_address_and_keeps_its_name(lake):
    async with serving({"/l.tar.gz": archive({"A": links(1)})}) as server:
        server.redirects["/old.tar.gz"] = "https://other.example/l.tar.gz"
        to = ConnectTo("127.0.0.1", server.port)
        await collect_links(lake, VGG, "http://links.example:81/old.tar.gz", connect_to=to)
    assert [request.headers["Host"] for request in server.asked] == ["links.example:81", "other.example"]


async def test_passing_failures_are_tried_again(lake):
    async with serving(below_links({"A": links(1), "B": links(1)})) as server:
        server.faults = {"/links/A.txt": [503, 0], "/links/": [429]}
        await collect_links(lake, VGG, server.url + "/links/", limits=FAST)
    assert rows(lake) == [("A", 1), ("B", 1)]
    assert Counter(server.paths) == {"/links/": 2, "/links/A.txt": 3, "/links/B.txt": 1}


async def test_a_server_that_stays_broken_is_given_up_after_three_tries(lake):
    async with serving({}) as server:
        server.faults = {"/a.tar": [500] * 9, "/b.tar": [0] * 9}
        with pytest.raises(LinksUnavailable, match=r"the server answered 500 \(3 tries\)"):
            await collect_links(lake, VGG, server.url + "/a.tar", limits=FAST)
        with pytest.raises(LinksUnavailable, match=r"\(3 tries\): try later"):
            await collect_links(lake, VGG, server.url + "/b.tar", limits=FAST)
    with pytest.raises(LinksUnavailable, match=r"Cannot connect.*\(3 tries\)"):
        await collect_links(lake, VGG, server.url + "/c.tar", limits=FAST)
    assert Counter(server.paths)["/a.tar"] == 3
    assert not lake.exists("links")


@asynccontextmanager
async def canary() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on another private address, and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.2", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


@pytest.mark.attack(12)
@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{}/", "http://private.example:{}/", "http://2130706434:{}/", "//127.0.0.2:{}/"]
)
async def test_a_public_server_of_links_does_not_lead_to_a_private_address(target, monkeypatch):
    monkeypatch.setattr(link_server, "is_public", lambda address: True)  # so that loopback plays a public server
    resolver = Told(links_example=[["127.0.0.1"]], private_example=[["127.0.0.2"]])
    async with (
        canary() as (port, asked),
        serving({}) as server,
        open_link_server(limits=FAST, resolver=resolver) as links,
    ):
        server.redirects["/a"] = target.format(port)
        with pytest.raises(LinksUnavailable, match=r"redirects to"):
            await links.get_small(URL(f"http://links.example:{server.port}/a"), {})
    assert asked == []


@pytest.mark.attack(12)
async def test_a_private_server_of_links_may_lead_to_another(lake):
    async with canary() as (port, asked), serving({}) as server, open_link_server(limits=FAST) as links:
        server.redirects["/a"] = f"http://127.0.0.2:{port}/b"
        body, _ = await links.get_small(URL(f"{server.url}/a"), {})
    assert (body, len(asked)) == (b"secret", 1)


@pytest.mark.attack(12)
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1/x", "http://localhost/x", "http://user@b.example/", "http://b.example/x"]
)
async def test_where_a_server_of_links_may_not_lead_is_judged_by_name_under_connect_to(target):
    async with serving({"/x": b"secret"}) as server:
        server.redirects["/a"] = target
        async with open_link_server(ConnectTo("127.0.0.1", server.port), limits=FAST) as links:
            with pytest.raises(LinksUnavailable, match=r"redirects to"):
                await links.get_small(URL("https://a.example/a"), {})
    assert server.paths == ["/a"]


@pytest.mark.attack(12)
def test_of_a_page_that_is_no_list_little_is_kept():
    rejected = vggface1.parse_file(b"secret " * 10_000 + b"\n" + b"x" * 10_000).rejected
    assert [len(text) for text in rejected["text"].to_pylist()] == [300, 300]


@pytest.mark.parametrize(
    ("target", "message"),
    [("/a.tar", "more than 5 redirects"), ("file:///etc/passwd", "not http"), ("gopher://a.example/", "not http")],
)
async def test_redirects_are_few_and_of_http_only(lake, target, message):
    async with serving({}) as server:
        server.redirects["/a.tar"] = target
        with pytest.raises(LinksUnavailable, match=message):
            await collect_links(lake, VGG, server.url + "/a.tar", limits=FAST)


async def test_a_body_beyond_the_cap_is_not_taken(lake):
    small = LinkLimits(max_file_bytes=100, max_archive_bytes=100)
    async with serving({"/a.tar": bytes(5000), **below_links({"A": links(*range(1, 20))})}) as server:
        for path in ["/a.tar", "/links/"]:
            with pytest.raises(LinksUnavailable, match="more than 100 bytes"):
                await collect_links(lake, VGG, server.url + path, limits=small)


async def test_requests_introduce_themselves(lake):
    async with serving(below_links({"A": links(1)})) as server:
        await collect_links(lake, VGG, server.url + "/links/")
    assert {request.headers["User-Agent"] for request in server.asked} == {USER_AGENT}
