"""A loopback host of link files, and such files to serve."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from storage.files.lake import Lake
from storage.tables.parquet import read_table
from tasks.links.link_server import LinkLimits

FAST = LinkLimits(backoff_s=0.01, file_timeout_s=0.5, archive_timeout_s=0.5)


def links(*ids: int) -> bytes:
    return b"".join(b"%08d http://a.example/%d.jpg 1 2 101 102 4.00 3.59 1\n" % (n, n) for n in ids)


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"vgg_face_dataset/files/{name}.txt")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass
class Server:
    """Serves `bodies` by path, with ETags unless told otherwise; `faults` are given out first, one a request."""

    bodies: dict[str, bytes]
    url: str = ""
    port: int = 0
    has_etags: bool = True
    faults: dict[str, list[int]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        self.asked.append(request)
        if path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[path]})
        if self.faults.get(path):
            status = self.faults[path].pop(0)
            if status:
                return web.Response(status=status)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if path not in self.bodies:
            return web.Response(status=404)
        etag = f'"{sha256(self.bodies[path]).hexdigest()[:8]}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(body=self.bodies[path], headers={"ETag": etag} if self.has_etags else {})

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]


@asynccontextmanager
async def serving(bodies: dict[str, bytes]) -> AsyncIterator[Server]:
    server = Server(bodies)
    runner = web.ServerRunner(web.Server(server.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        await runner.cleanup()


def index(*hrefs: str) -> bytes:
    return "".join(f'<a href="{href}">x</a>' for href in hrefs).encode()


def below_links(files: dict[str, bytes]) -> dict[str, bytes]:
    return {"/links/": index(*[f"{name}.txt" for name in files])} | {
        f"/links/{name}.txt": files[name] for name in files
    }


def rows(lake: Lake) -> list[tuple[str, int]]:
    """The (identity, line) of the link lines collected."""
    table = read_table(lake, lake.links("vggface1", "lines.parquet"))
    return list(zip(table["identity"].to_pylist(), table["line"].to_pylist(), strict=True))


def written(lake: Lake) -> dict[str, int]:
    """When each file of the collection was last written."""
    folder = Path(lake.root) / "links" / "vggface1"
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.exists() else {}
