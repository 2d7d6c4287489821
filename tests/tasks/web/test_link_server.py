from collections import Counter
from pathlib import Path

import pytest

from storage.errors import LinksUnavailable, SourceError
from storage.lake import Lake
from tasks.links import collect_links
from tasks.sources import SOURCES
from tasks.web.http import USER_AGENT, ConnectTo
from tasks.web.link_server import LinkLimits
from tests.tasks.web.link_host import FAST, archive, below_links, index, links, rows, serving

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
