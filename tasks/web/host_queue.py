"""A first-in, first-out queue of links per host; `hosts.Host` decides when the next request may start."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from storage.records import Reason
from tasks.web.hosts import Host, HostRules, HostUnavailable

# The longest wait of a link for a host that responds slowly: 128 links in the queue of a host that takes 2 s a picture,
# four at a time, need 64 s.
LONGEST_QUEUE_S = 120.0
# 1.35 KB each (measured), 14 MB together; the 124,402 hosts of VGGFace1 would take 168 MB.
_MAX_HOSTS = 10_000
_MAX_CHECKS = 8


class HostElsewhere(Exception):
    """Another run may request this host now, and this one may not."""

    def __init__(self, host: str) -> None:
        super().__init__(f"another run requests {host}")
        self.host = host


class HostCounts(NamedTuple):
    """The numbers of hosts known, slowed and down."""

    known: int
    slowed: int
    down: int


class _Queue:
    """One host and its queue."""

    __slots__ = ("freed", "host", "lock", "num_waiting")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.lock = asyncio.Lock()
        self.freed = asyncio.Event()
        self.num_waiting = 0


class HostQueues:
    """The queues of all hosts; those idle for longest are dropped. All units of a process share one object.

    Args:
        is_mine: whether this run may request a host now.
    """

    def __init__(
        self,
        rules: HostRules = HostRules(),
        *,
        is_mine: Callable[[str], bool] = lambda host: True,
        clock: Callable[[], float] = time.monotonic,
        max_hosts: int = _MAX_HOSTS,
    ) -> None:
        self._rules = rules
        self._is_mine = is_mine
        self._clock = clock
        self._max_hosts = max_hosts
        self._queues: OrderedDict[str, _Queue] = OrderedDict()

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[Host]:
        """Wait for a slot at a host and hold it for the block, which reports the result to the host.

        Raises:
            HostUnavailable: the wait would be too long, or exceeded `LONGEST_QUEUE_S`.
            HostElsewhere: another run may request it.
        """
        self._refuse_elsewhere(name)
        queue = self._queue(name)
        host = queue.host
        host.check(self._clock(), queue.num_waiting)
        if queue.lock.locked() or host.wait_s(self._clock()) > 0:
            await self._wait(queue)
            self._refuse_elsewhere(name)
        host.start(self._clock())
        try:
            yield host
        finally:
            host.end()
            queue.freed.set()

    def _refuse_elsewhere(self, name: str) -> None:
        if not self._is_mine(name):
            raise HostElsewhere(name)

    def counts(self) -> HostCounts:
        """The numbers of hosts by state. Safe to call from any thread."""
        hosts = [queue.host for queue in list(self._queues.values())]
        return HostCounts(len(hosts), sum(host.is_slowed for host in hosts), sum(host.is_down for host in hosts))

    async def _wait(self, queue: _Queue) -> None:
        queue.num_waiting += 1
        try:
            async with asyncio.timeout(LONGEST_QUEUE_S), queue.lock:
                while (wait_s := queue.host.wait_s(self._clock())) > 0:
                    queue.freed.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(queue.freed.wait(), None if math.isinf(wait_s) else wait_s)
                    queue.host.check(self._clock())
                queue.host.check(self._clock())
        except TimeoutError as error:
            detail = f"waited {LONGEST_QUEUE_S:.0f} s for the host"
            raise HostUnavailable(Reason.HOST_BUSY, detail, LONGEST_QUEUE_S) from error
        finally:
            queue.num_waiting -= 1

    def _queue(self, name: str) -> _Queue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue(Host(self._rules))
            self._evict()
        else:
            self._queues.move_to_end(name)
        return queue

    def _evict(self) -> None:
        """Drop the host idle for longest if there are too many; hosts in use are moved to the end instead."""
        for _ in range(_MAX_CHECKS):
            if len(self._queues) <= self._max_hosts:
                return
            name, queue = next(iter(self._queues.items()))
            if queue.host.num_active or queue.num_waiting:
                self._queues.move_to_end(name)
            else:
                del self._queues[name]
