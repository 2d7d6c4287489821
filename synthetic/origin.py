"""The origin: a loopback server that serves the pictures and faults of a synthetic dataset for all of its hosts.

A client sends every host's requests here, as with `curl --connect-to ::127.0.0.1:PORT`. Under its own loopback address
the server serves the link files.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from storage.errors import UsageError
from synthetic.handlers import HANDLERS, Exchange
from synthetic.link_files import LinkFiles
from synthetic.response_table import read_responses


class Origin:
    """Serves one dataset on a loopback address, as an async context manager.

    Args:
        world: folder of a synthetic or recorded dataset.
        port: 0: any free port; the actual one is `port` after the start.
        host: a loopback address.

    Attributes:
        requests: number of requests per URL of the dataset; unknown ones count as `http://host/path`.

    Raises:
        UsageError: the host is not a loopback address, or the folder is not a dataset; on entry: the port is in use.
    """

    def __init__(self, world: Path, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.world, self.host, self.port = world, _loopback(host), port
        self.requests: Counter[str] = Counter()
        self._answers = {_key(response.url): response for response in read_responses(world)}
        self._links = LinkFiles(world / "links")
        self._runner: web.ServerRunner | None = None

    @property
    def num_requests(self) -> int:
        """The number of requests so far, without those for link files."""
        return self.requests.total()

    async def __aenter__(self) -> Self:
        # Connections that hang or drip are cancelled at the end; a handler notices a disconnected client immediately.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror}; choose another port, or 0"
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.headers.get("Host", "").lower()
        if host in self._own_names():
            return self._links.answer(request)
        response = self._answers.get(_without_default_port(host) + request.raw_path)
        if response is None:
            self.requests[f"http://{host}{request.raw_path}"] += 1
            return web.Response(status=404, text="no such picture\n")
        self.requests[response.url] += 1
        headers = json.loads(response.headers) if response.headers else {}
        if response.fail_first:
            if self.requests[response.url] <= response.fail_first:
                return web.Response(status=response.fail_status, headers=headers, text="not now\n")
            headers = {}
        try:
            return await HANDLERS[response.kind](Exchange(request, response, headers, self.world / "bodies"))
        except ConnectionResetError:
            return web.Response()  # the client closed an endless response, as it should; this one is never read

    def _own_names(self) -> tuple[str, ...]:
        named = f"[{self.host}]" if ":" in self.host else self.host
        return f"{named}:{self.port}", f"localhost:{self.port}"


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Origin]:
    """Serve a dataset on a thread with its own event loop, for synchronous code.

    Raises:
        UsageError: as `Origin`.
    """
    origin = Origin(folder, port=port)
    ready: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(origin, ready)), name="origin", daemon=True)
    thread.start()
    stop = ready.result()
    try:
        yield origin
    finally:
        stop()
        thread.join()


async def _serve(origin: Origin, ready: Future[Callable[[], object]]) -> None:
    """Serve until the function passed to `ready` is called, from any thread."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    try:
        async with origin:
            ready.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()
    except UsageError as error:
        ready.set_exception(error)


def serve_forever(folder: Path, port: int, on_ready: Callable[[int], None]) -> None:
    """Serve a dataset until Ctrl-C or SIGTERM; `on_ready` is called with the port once the server is up.

    Raises:
        UsageError: as `Origin`.
    """

    async def serve() -> None:
        stop = asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        async with Origin(folder, port=port) as origin:
            on_ready(origin.port)
            await stop.wait()

    asyncio.run(serve())


# -- finding the response --


def _key(url: str) -> str:
    """Host (with the port unless it is the scheme's default) and raw path of a URL, as visible in a request."""
    rest = url.split("://", 1)[1].split("#", 1)[0]
    cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    host, path = rest[:cut].lower(), rest[cut:]
    return _without_default_port(host) + (path if path.startswith("/") else f"/{path}")


def _without_default_port(host: str) -> str:
    return host.removesuffix(":80").removesuffix(":443")


def _loopback(host: str) -> str:
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise UsageError(f"a synthetic dataset is served on loopback addresses only, such as 127.0.0.1, not on {host!r}")
