"""Reading ahead: while one thing is looked at, the next ones come from the bucket."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from storage.files.lake import Lake

In = TypeVar("In")
Out = TypeVar("Out")

# A request waits some ten milliseconds for its first byte: so many at a time keep a gigabit busy with pieces of 1 MB.
_AT_ONCE = 4


def read_ahead(lake: Lake, read: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`read(item)` of each item, in order. Of a lake in a bucket threads read some ahead, which are then in memory."""
    if lake.is_local:
        yield from map(read, items)
        return
    begun: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for item in items:
            begun.append(pool.submit(read, item))
            if len(begun) > _AT_ONCE:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
