"""A loopback server that plays many hosts, and counts the requests that each of them has at once.

A request counts from its arrival until just before its response is sent, or the client has hung up: for less time than
it counts for the client. No client that keeps a limit is therefore ever seen above it, however slow the machine is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TO = "/to/"


class HostOrigin:
    """Redirects `/to/HOST/REST` to `http://HOST/REST`, and has no other page.

    Attributes:
        may_answer: asked until it says so; no request is answered before.
        requests: by URL.
        most_at_once: by host.
    """

    def __init__(self, answer_after_s: float) -> None:
        self.port = 0
        self._answer_after_s = answer_after_s
        self.may_answer: Callable[[], bool] = lambda: True
        self.requests: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ", 2)[1]
            host = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("host: "))
            self.requests[f"http://{host}{path}"] += 1
            self._now[host] += 1
            self.most_at_once[host] = max(self.most_at_once[host], self._now[host])
            while not self.may_answer():
                await asyncio.sleep(0.01)
            self.may_answer = lambda: True
            with suppress(TimeoutError):  # else the client has hung up
                await asyncio.wait_for(reader.read(1), self._answer_after_s)
            self._now[host] -= 1
            first = f"302 Found\r\nLocation: http://{path.removeprefix(TO)}" if path.startswith(TO) else "404 Not Found"
            writer.write(f"HTTP/1.1 {first}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextmanager
def serving_hosts(answer_after_s: float = 0.06) -> Iterator[HostOrigin]:
    """Serve in a thread.

    Args:
        answer_after_s: longer than a run waits between two requests to a host, so that it makes as many as it may.
    """
    origin, ready, stop = HostOrigin(answer_after_s), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with await asyncio.start_server(origin.answer, "127.0.0.1", 0) as server:
            origin.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield origin
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def write_links(folder: Path, urls: list[str], per_person: int) -> list[str]:
    """Link files of the form of VGGFace1, with so many of these links a person."""
    folder.mkdir()
    for number, start in enumerate(range(0, len(urls), per_person)):
        lines = [
            f"{place + 1:08d} {url} 40 40 140 140 2.8 3.1 1\n"
            for place, url in enumerate(urls[start : start + per_person])
        ]
        (folder / f"Person_{number:02d}.txt").write_text("".join(lines))
    return urls
