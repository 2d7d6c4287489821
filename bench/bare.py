"""Bare aiohttp GETs of a list of URLs, without checks or storage: the upper bound for `bench.fetch`.

python -m bench.bare LIST      (one URL per line)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp

_CONCURRENCY = 128


async def get_all(urls: Iterator[str]) -> int:
    """Request each URL once; returns the number of complete responses with status 200."""
    num = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal num
        for url in urls:
            try:
                async with session.get(url) as response:
                    await response.read()
                    num += response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                continue

    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONCURRENCY), timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(_CONCURRENCY):
            group.create_task(work(session))
    return num


if __name__ == "__main__":
    print(asyncio.run(get_all(iter(Path(sys.argv[1]).read_text().split()))))
