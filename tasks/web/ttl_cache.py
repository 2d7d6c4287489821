"""An asynchronous cache whose entries expire; concurrent requests for one key share a single look-up."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

# Names: about 1 KB each.
_MAX_SIZE = 10_000


class TtlCache(Generic[Value]):
    """Caches the results of `find`, which returns a value and the seconds it is valid for. An error is not cached.

    Args:
        max_size: the least recently used values are dropped beyond this size: a number of values, or a sum of
            `size_of`.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[tuple[Value, float]]],
        *,
        clock: Callable[[], float] = time.monotonic,
        max_size: int = _MAX_SIZE,
        size_of: Callable[[Value], int] = lambda value: 1,
    ) -> None:
        self._find = find
        self._clock = clock
        self._max_size = max_size
        self._size_of = size_of
        self._size = 0
        self._known: OrderedDict[str, tuple[Value, float]] = OrderedDict()
        self._running: dict[str, asyncio.Task[Value]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def get(self, key: str) -> Value:
        """The value of `key`, from the cache or looked up."""
        value, until = self._known.get(key, (None, 0.0))
        if value is not None and until > self._clock():
            self._known.move_to_end(key)
            return value
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._look_up(key))
        # A caller that is cancelled leaves the look-up running for the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel the look-ups in progress."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _look_up(self, key: str) -> Value:
        try:
            value, holds_s = await self._find(key)
        finally:
            del self._running[key]
        if key in self._known:
            self._size -= self._size_of(self._known.pop(key)[0])
        self._known[key] = value, self._clock() + holds_s
        self._size += self._size_of(value)
        while self._size > self._max_size:
            _, (oldest, _) = self._known.popitem(last=False)
            self._size -= self._size_of(oldest)
        return value
