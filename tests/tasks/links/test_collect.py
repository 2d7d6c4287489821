from collections import Counter
from pathlib import Path

import pytest

from storage.errors import LinksUnavailable, SourceError
from storage.files.lake import Lake
from storage.tables.parquet import read_table
from tasks.links.collect import collect_links
from tasks.links.sources import SOURCES
from tests.tasks.web.link_host import FAST, archive, below_links, index, links, rows, serving, written

VGG = SOURCES["vggface1"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


async def test_a_folder_becomes_two_tables_and_an_origin(lake, tmp_path):
    (tmp_path / "B.txt").write_bytes(links(2, 1) + b"junk\n")
    (tmp_path / "A.txt").write_bytes(links(1, 1))
    found = await collect_links(lake, VGG, str(tmp_path))
    assert rows(lake) == [("A", 1), ("B", 1), ("B", 2)]
    rejected = read_table(lake, lake.links("vggface1", "rejected.parquet"))
    assert rejected["identity"].to_pylist() == ["A", "B"]
    assert (found.changed, found.num_files, found.num_lines) == (True, 2, 5)
    assert found.num_lines == found.num_accepted + found.num_rejected == 3 + len(rejected)
    origin = lake.read_json(lake.links("vggface1", "origin.json"))
    assert (origin["location"], origin["digest"], origin["num_rejected"]) == (str(tmp_path), found.digest, 2)
    assert sorted(written(lake)) == ["lines.parquet", "origin.json", "rejected.parquet"]


@pytest.mark.case(15)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
async def test_a_folder_of_lists_that_notepad_saved_is_read_whole(lake, tmp_path, encoding):
    (tmp_path / "A.txt").write_bytes(links(1, 2).decode().replace("\n", "\r\n").encode(encoding))
    found = await collect_links(lake, VGG, str(tmp_path))
    assert (rows(lake), found.num_rejected) == ([("A", 1), ("A", 2)], 0)


async def test_a_folder_that_has_not_changed_writes_nothing(lake, tmp_path):
    (tmp_path / "A.txt").write_bytes(links(1))
    first = await collect_links(lake, VGG, str(tmp_path))
    before = written(lake)
    second = await collect_links(lake, VGG, str(tmp_path))
    assert written(lake) == before
    assert (second.changed, second.digest, second.num_lines) == (False, first.digest, 1)
    (tmp_path / "A.txt").write_bytes(links(1, 2))
    assert (await collect_links(lake, VGG, str(tmp_path))).changed
    assert rows(lake) == [("A", 1), ("A", 2)]


async def test_an_archive_on_disk_is_read_and_a_copy_of_it_elsewhere_changes_no_line(lake, tmp_path):
    for name in ["one.tar.gz", "two.tar.gz"]:
        (tmp_path / name).write_bytes(archive({"A": links(1, 2)}))
    assert (await collect_links(lake, VGG, str(tmp_path / "one.tar.gz"))).changed
    before = written(lake)
    assert not (await collect_links(lake, VGG, str(tmp_path / "two.tar.gz"))).changed
    after = written(lake)
    assert after["lines.parquet"] == before["lines.parquet"] and after["origin.json"] != before["origin.json"]


async def test_a_write_that_was_cut_off_is_done_again(lake, tmp_path):
    (tmp_path / "A.txt").write_bytes(links(1))
    await collect_links(lake, VGG, str(tmp_path))
    lake.remove(lake.links("vggface1", "rejected.parquet"))
    assert (await collect_links(lake, VGG, str(tmp_path))).changed
    assert "rejected.parquet" in written(lake)


async def test_an_archive_by_url_is_asked_again_with_its_etag_and_nothing_is_written(lake):
    async with serving({"/links.tar.gz": archive({"A": links(1, 2), "B": links(1)})}) as server:
        url = server.url + "/links.tar.gz"
        first = await collect_links(lake, VGG, url, user_agent="facemill/test")
        assert (first.changed, first.num_files, rows(lake)) == (True, 2, [("A", 1), ("A", 2), ("B", 1)])
        before = written(lake)
        second = await collect_links(lake, VGG, url)
        assert written(lake) == before and not second.changed and second.num_lines == 3
        assert "If-None-Match" not in server.asked[0].headers and "If-None-Match" in server.asked[1].headers
        assert server.asked[0].headers["User-Agent"] == "facemill/test"
        server.bodies["/links.tar.gz"] = archive({"A": links(5)})
        assert (await collect_links(lake, VGG, url)).changed
    assert rows(lake) == [("A", 5)]


async def test_a_server_without_etags_costs_a_download_but_no_write(lake):
    async with serving({"/l.tgz": archive({"A": links(1)}), **below_links({"A": links(1)})}) as server:
        server.has_etags = False
        for location in ["/l.tgz", "/links/"]:
            await collect_links(lake, VGG, server.url + location)
            before = written(lake)
            assert not (await collect_links(lake, VGG, server.url + location)).changed
            assert written(lake) == before


async def test_a_base_url_whose_files_are_as_before_writes_nothing(lake):
    async with serving(below_links({"A": links(1), "B": links(1)})) as server:
        await collect_links(lake, VGG, server.url + "/links/")
        before = written(lake)
        second = await collect_links(lake, VGG, server.url + "/links/")
    assert (second.changed, second.num_files, second.num_lines) == (False, 2, 2)
    assert written(lake) == before
    assert Counter("If-None-Match" in request.headers for request in server.asked) == {True: 2, False: 4}


async def test_files_as_before_keep_their_rows_when_others_change_come_or_go(lake):
    async with serving(below_links({"A": links(1) + b"junk", "C": links(1, 2), "D": links(4)})) as server:
        await collect_links(lake, VGG, server.url + "/links/")
        server.bodies = below_links({"A": links(1) + b"junk", "B": links(7), "C": links(3)})
        mixed = await collect_links(lake, VGG, server.url + "/links/")
        assert rows(lake) == [("A", 1), ("B", 7), ("C", 3)]
        assert (mixed.num_files, mixed.num_lines, mixed.num_rejected) == (3, 4, 1)
        again = await collect_links(lake, VGG, server.url + "/links/")
        assert (again.changed, again.digest) == (False, mixed.digest)
        server.bodies = below_links({"A": links(1) + b"junk", "C": links(3)})
        assert (await collect_links(lake, VGG, server.url + "/links/")).changed
    assert rows(lake) == [("A", 1), ("C", 3)]


async def test_rows_kept_and_rows_fetched_make_the_table_that_fetching_all_makes(lake, tmp_path):
    async with serving(below_links({"A": links(1), "C": links(1, 2)})) as server:
        await collect_links(lake, VGG, server.url + "/links/")
        server.bodies = below_links({"A": links(1), "B": b"junk\n" + links(2), "C": links(3)})
        kept = await collect_links(lake, VGG, server.url + "/links/")
        whole = await collect_links(Lake(tmp_path / "other"), VGG, server.url + "/links/")
    assert kept.digest == whole.digest


@pytest.mark.parametrize("path", ["/none.tar.gz", "/none/", "/links/"])
async def test_a_404_is_one_line_and_leaves_what_was_there(lake, path):
    async with serving({"/links.tar.gz": archive({"A": links(1)}), "/links/": index("A.txt")}) as server:
        await collect_links(lake, VGG, server.url + "/links.tar.gz")
        before = written(lake)
        with pytest.raises(LinksUnavailable, match="the server answered 404: check the address") as raised:
            await collect_links(lake, VGG, server.url + path, limits=FAST)
        assert "\n" not in str(raised.value) and server.url in str(raised.value)
    assert written(lake) == before
    assert Counter(server.paths)[path] == 1


@pytest.mark.parametrize(
    ("bodies", "path", "message"),
    [
        ({"/a.tar.gz": b"<html>sorry</html>"}, "/a.tar.gz", "is not a tar archive"),
        ({"/a.tar.gz": archive({})}, "/a.tar.gz", "contains no link file"),
        ({"/a.tar.gz": archive({"A": b""})}, "/a.tar.gz", "no line in them"),
        (
            {"/a.tar.gz": archive({"A": b"dear diary\nhello"})},
            "/a.tar.gz",
            r"none of its 2 lines.*A\.txt line 1 \(2 fields",
        ),
        ({"/links/": b"<p>nothing</p>"}, "/links/", "links to no <Identity>.txt"),
    ],
)
async def test_what_holds_no_usable_line_is_an_error_that_names_the_url(lake, bodies, path, message):
    async with serving(bodies) as server:
        with pytest.raises(SourceError, match=message) as raised:
            await collect_links(lake, VGG, server.url + path)
    assert server.url in str(raised.value) and "\n" not in str(raised.value)
    assert written(lake) == {}


@pytest.mark.parametrize(
    ("source", "location", "message"),
    [
        ("synthetic", None, "has no default location"),
        ("vggface1", "/nowhere/at/all", "does not exist"),
        ("vggface1", "ftp://a.example/l.tar", "neither http"),
        ("vggface1", "http://", "must have a host"),
        ("vggface1", "http://user:secret@a.example/", "without user name and password"),
        ("vggface2", "http://a.example/", "is read from a folder"),
    ],
)
async def test_a_location_that_cannot_be_is_refused_before_any_request(lake, source, location, message):
    with pytest.raises(SourceError, match=message) as raised:
        await collect_links(lake, SOURCES[source], location)
    assert "secret" not in str(raised.value)


async def test_a_file_that_cannot_be_read_is_one_clear_line(lake, tmp_path, monkeypatch):
    (tmp_path / "A.txt").write_bytes(links(1))

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # a test may run as root, who may read everything
    with pytest.raises(SourceError, match=r"cannot be read .*Permission denied.*A\.txt"):
        await collect_links(lake, VGG, str(tmp_path))


async def test_a_folder_per_person_is_collected_too(lake, tmp_path):
    picture = tmp_path / "train" / "n1" / "1.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"x")
    found = await collect_links(lake, SOURCES["vggface2"], str(tmp_path / "train"))
    assert (found.num_lines, found.location) == (1, str(tmp_path / "train"))
    assert not (await collect_links(lake, SOURCES["vggface2"], str(tmp_path / "train"))).changed
