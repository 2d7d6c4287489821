"""The loopback server that plays a world: it answers for every host of the link files, good and bad alike.

A client sends every host's requests here, as `curl --connect-to ::127.0.0.1:PORT` does. Asked under its own loopback
address, the server hands out the link files themselves.
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
from synthetic.handlers import PLAYS, Asked
from synthetic.link_files import LinkFiles
from synthetic.response_table import read_responses


class Origin:
    """Plays one world on a loopback address, as an async context manager.

    Args:
        world: a folder in the format of a world, made or recorded.
        port: 0 takes a free one; the one taken is `port` after the start.
        host: a loopback address.

    Attributes:
        requests: how often each URL of the world was asked for; unknown ones count as `http://host/path`.

    Raises:
        UsageError: the host is not a loopback address, or the folder is not a world; on entry: the port is taken.
    """

    def __init__(self, world: Path, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.world, self.host, self.port = world, _loopback(host), port
        self.requests: Counter[str] = Counter()
        self._answers = {_key(response.url): response for response in read_responses(world)}
        self._links = LinkFiles(world / "links")
        self._runner: web.ServerRunner | None = None

    @property
    def num_requests(self) -> int:
        """All requests so far, those for link files left out."""
        return self.requests.total()

    async def __aenter__(self) -> Self:
        # Connections that hang or drip are cancelled at the end; a handler notices a client that goes away at once.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"port {self.port} of {self.host} cannot be opened ({error.strerror}): name another, or 0"
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
            return await PLAYS[response.kind](Asked(request, response, headers, self.world / "bodies"))
        except ConnectionResetError:
            return web.Response()  # the client hung up on an endless answer, as it should; nobody reads this one

    def _own_names(self) -> tuple[str, ...]:
        named = f"[{self.host}]" if ":" in self.host else self.host
        return f"{named}:{self.port}", f"localhost:{self.port}"


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Origin]:
    """Play a world on a thread with its own event loop, for code that is not async.

    Raises:
        UsageError: as `Origin`.
    """
    origin = Origin(folder, port=port)
    ready: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_play(origin, ready)), name="origin", daemon=True)
    thread.start()
    stop = ready.result()
    try:
        yield origin
    finally:
        stop()
        thread.join()


async def _play(origin: Origin, ready: Future[Callable[[], object]]) -> None:
    """Serve until the function that `ready` gets is called, from whatever thread."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    try:
        async with origin:
            ready.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()
    except UsageError as error:
        ready.set_exception(error)


def serve_forever(folder: Path, port: int, on_ready: Callable[[int], None]) -> None:
    """Play a world until Ctrl-C or SIGTERM; `on_ready` is told the port when the server answers.

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


# -- finding the answer --


def _key(url: str) -> str:
    """Host (and port, if it is not the scheme's own) and raw path of a URL: what a request shows of it."""
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
    raise UsageError(f"a world is served on a loopback address only, such as 127.0.0.1, and not on {host!r}")
