import asyncio
import gzip
import signal
import subprocess
import sys
import tarfile
import urllib.request
import zlib
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from storage.errors import UsageError
from synthetic.origin import Origin, serving
from synthetic.response_table import Response, read_responses
from tests.virtual_time import now_s

REPLAY = Path(__file__).parents[2].parent / "shared" / "data" / "replay"


@pytest.fixture(scope="module")
def rows(world: Path) -> list[Response]:
    return list(read_responses(world))


def some(rows: list[Response], **wanted: object) -> Response:
    return next(row for row in rows if all(getattr(row, name) == value for name, value in wanted.items()))


def request_for(origin: Origin, url: str) -> tuple[URL, dict[str, str]]:
    link = URL(url, encoded=True)
    port = f":{link.explicit_port}" if link.explicit_port else ""
    return link.with_scheme("http").with_host("127.0.0.1").with_port(origin.port), {"Host": f"{link.host}{port}"}


async def raw_connection(origin: Origin, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the URL was asked for."""
    link, headers = request_for(origin, url)
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
    writer.write(f"GET {link.raw_path_qs} HTTP/1.1\r\nHost: {headers['Host']}\r\n\r\n".encode())
    return reader, writer


class Client:
    """Asks an origin in place of every host."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    async def get(self, url: str) -> tuple[int, dict[str, str], bytes]:
        link, headers = request_for(self.origin, url)
        async with (
            aiohttp.ClientSession() as session,
            session.get(link, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, dict(answer.headers), await answer.read()


# -- answers --


async def test_a_picture_is_served_as_it_lies_on_disk(world, rows):
    row = some(rows, kind="image", expect="accepted", fail_first=0)
    async with Origin(world) as origin:
        status, headers, data = await Client(origin).get(row.url)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert data == (world / "bodies" / row.body).read_bytes()


async def test_every_url_of_every_spelling_is_known(world, rows):
    async with Origin(world) as origin:
        client = Client(origin)
        for row in rows:
            if row.kind in ("image", "status", "html", "redirect"):
                await client.get(row.url)
        assert set(origin.requests) <= {row.url for row in rows}
        assert origin.num_requests == sum(origin.requests.values()) > 80


async def test_a_percent_escape_written_otherwise_is_another_url(world, rows):
    row = next(row for row in rows if "%20" in row.url)
    async with Origin(world) as origin:
        status, _, _ = await Client(origin).get(row.url.replace("%20", "+"))
    assert status == 404


async def test_errors_and_html_come_with_their_status_and_page(world, rows):
    async with Origin(world) as origin:
        client = Client(origin)
        for wanted in (404, 410, 403, 500):
            status, headers, data = await client.get(some(rows, kind="status", status=wanted).url)
            assert status == wanted and data.startswith(b"<!DOCTYPE html>")
        status, headers, _ = await client.get(some(rows, kind="html").url)
        assert status == 200 and headers["Content-Type"].startswith("text/html")


async def test_redirects_name_their_target_and_a_loop_names_itself(world, rows):
    async with Origin(world) as origin:
        client = Client(origin)
        good, loop = some(rows, kind="redirect", expect="accepted"), some(rows, kind="redirect", location="SELF")
        assert (await client.get(good.url))[1]["Location"] == good.location
        assert (await client.get(good.location))[0] == 200
        status, headers, _ = await client.get(loop.url)
        assert (status, headers["Location"]) == (301, loop.url)


async def test_the_first_requests_fail_and_only_those_say_retry_after(world, rows):
    row = some(rows, fail_first=1, fail_status=503)
    stubborn = some(rows, fail_first=2, fail_status=500)
    async with Origin(world) as origin:
        client = Client(origin)
        first, second = await client.get(row.url), await client.get(row.url)
        statuses = [(await client.get(stubborn.url))[0] for _ in range(3)]
    assert (first[0], first[1]["Retry-After"]) == (503, "1")
    assert second[0] == 200 and "Retry-After" not in second[1]
    assert statuses == [500, 500, 200]


async def test_opting_out_is_said_in_a_header_of_a_good_answer(world, rows):
    async with Origin(world) as origin:
        status, headers, _ = await Client(origin).get(some(rows, kind="image", expect="policy").url)
    assert (status, headers["X-Robots-Tag"]) == (200, "noai, noimageai")


async def test_a_reset_is_a_reset_and_a_dead_name_closes_without_a_word(world, rows):
    async with Origin(world) as origin:
        reader, writer = await raw_connection(origin, some(rows, kind="reset").url)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        reader, writer = await raw_connection(origin, some(rows, kind="nxdomain").url)
        assert await reader.read() == b""
        writer.close()


async def test_a_truncated_answer_promises_5000_bytes_more_than_come(world, rows):
    row = some(rows, kind="truncated")
    async with Origin(world) as origin:
        reader, writer = await raw_connection(origin, row.url)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    length = (world / "bodies" / row.body).stat().st_size
    assert f"Content-Length: {length + 5000}".encode() in head
    assert len(body) == length


async def test_a_slow_answer_takes_two_seconds_to_begin(world, rows):
    async with Origin(world) as origin:
        started = now_s()
        status, _, _ = await Client(origin).get(some(rows, kind="slow").url)
        assert now_s() - started == pytest.approx(2)
    assert status == 200


async def test_a_drip_gives_512_bytes_a_second(world, rows):
    async with Origin(world) as origin:
        reader, writer = await raw_connection(origin, some(rows, kind="drip").url)
        await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(512)) == 512
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.5)
        assert len(await asyncio.wait_for(reader.readexactly(512), 2)) == 512
        writer.close()


async def test_a_hanging_link_is_accepted_and_never_answered(world, rows):
    async with Origin(world) as origin:
        reader, writer = await raw_connection(origin, some(rows, kind="hang").url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.5)
        writer.close()


async def test_an_endless_answer_is_chunked_and_goes_on(world, rows):
    async with Origin(world) as origin:
        reader, writer = await raw_connection(origin, some(rows, kind="endless").url)
        assert b"Transfer-Encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(5_000_000)) == 5_000_000
        writer.close()


async def test_the_gzip_bomb_is_small_on_the_wire_and_200_mb_unpacked(world, rows):
    async with Origin(world) as origin:
        link, headers = request_for(origin, some(rows, kind="gzipbomb").url)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(link, headers=headers) as answer,
        ):
            data = await answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(data) < 500_000
    unpacker, num_bytes = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    while not unpacker.eof:
        num_bytes += len(unpacker.decompress(data, 1 << 20))
        data = unpacker.unconsumed_tail
    assert num_bytes == 200_000_000


async def test_what_the_world_does_not_know_is_404(world):
    async with Origin(world) as origin:
        status, _, _ = await Client(origin).get("http://nowhere.example/x.jpg")
        assert status == 404
        assert origin.requests["http://nowhere.example/x.jpg"] == 1


# -- starting and stopping --


async def test_it_stops_at_once_whatever_is_still_open(world, rows):
    async with Origin(world) as origin:
        for kind in ("hang", "drip", "endless", "slow"):
            await raw_connection(origin, some(rows, kind=kind).url)
        await asyncio.sleep(0.2)
        started = now_s()
    assert now_s() - started < 1


def test_only_loopback_addresses_are_served(world):
    for host in ("0.0.0.0", "192.168.0.1", "example.org", "::"):
        with pytest.raises(UsageError, match="loopback"):
            Origin(world, host=host)


def test_a_folder_that_is_no_world_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no responses\.csv"):
        Origin(tmp_path)


def test_a_port_that_is_taken_is_a_usage_error(world):
    with serving(world) as origin, pytest.raises(UsageError, match="cannot listen on"), serving(world, origin.port):
        pass


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_serving_for_good_ends_cleanly_at_a_signal(world, signum):
    code = (
        "import sys; from pathlib import Path; from synthetic.origin import serve_forever; "
        "serve_forever(Path(sys.argv[1]), 0, lambda port: print(port, flush=True))"
    )
    command = [sys.executable, "-c", code, str(world)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert int(process.stdout.readline()) > 0
        process.send_signal(signum)
        assert process.wait() == 0
        assert process.stderr.read() == ""


# -- link files --


def fetch(origin: Origin, path: str, etag: str = "") -> tuple[bytes, str]:
    headers = {"If-None-Match": etag} if etag else {}
    request = urllib.request.Request(f"http://127.0.0.1:{origin.port}{path}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read(), answer.headers["ETag"]


def test_its_own_address_serves_the_link_files_to_code_that_is_not_async(world):
    with serving(world) as origin:
        index, _ = fetch(origin, "/links/")
        for path in (world / "links").iterdir():
            assert quote(path.name).encode() in index
            data, _ = fetch(origin, f"/links/{quote(path.name)}")
            assert data == path.read_bytes()
        assert origin.num_requests == 0


def test_the_archive_is_laid_out_like_vggface1s_and_always_the_same(world):
    with serving(world) as origin:
        first, _ = fetch(origin, "/links.tar.gz")
    with serving(world) as origin:
        second, _ = fetch(origin, "/links.tar.gz")
    assert first == second
    with tarfile.open(fileobj=BytesIO(gzip.decompress(first))) as tar:
        names = sorted(member.name for member in tar)
    assert names == sorted(f"vgg_face_dataset/files/{path.name}" for path in (world / "links").iterdir())


def test_what_the_client_has_already_is_not_sent_again(world):
    name = next((world / "links").iterdir()).name
    with serving(world) as origin:
        for path in ("/links/", "/links.tar.gz", f"/links/{quote(name)}"):
            _, etag = fetch(origin, path)
            with pytest.raises(HTTPError) as error:
                fetch(origin, path, etag)
            assert error.value.code == 304


def test_nothing_beside_the_link_files_is_served(world):
    with serving(world) as origin:
        for path in ("/links/../world.json", "/links/%2e%2e/world.json", "/world.json", "/links/Nobody.txt"):
            with pytest.raises(HTTPError) as error:
                fetch(origin, path)
            assert error.value.code == 404


# -- a recorded world --


@pytest.mark.data
@pytest.mark.skipif(not REPLAY.is_dir(), reason="the recorded world of ../shared/data is not here")
async def test_a_recorded_world_is_served_with_every_url_known():
    rows = [row for row in read_responses(REPLAY) if row.kind in ("image", "status", "html", "redirect")]
    async with Origin(REPLAY) as origin, aiohttp.ClientSession() as session:
        for row in rows:
            link, headers = request_for(origin, row.url)
            async with session.get(link, headers=headers, allow_redirects=False) as answer:
                await answer.read()
                assert answer.status == (row.fail_status if row.fail_first else row.status)
        assert set(origin.requests) == {row.url for row in rows}
