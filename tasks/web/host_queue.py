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
from tasks.web.hosts import Host, HostRules, NotNow

# A link waits no longer for its turn at a host that answers, but slowly: 128 links in line at a host that takes 2 s a
# picture, four at a time, need 64 s.
LONGEST_TURN_S = 120.0
# 1.35 KB each (measured), so 14 MB; the 124,402 hosts of VGGFace1 would take 168.
_MAX_HOSTS = 10_000
_LOOKS = 8


class HostCounts(NamedTuple):
    """The numbers of hosts known, slowed and down."""

    known: int
    slowed: int
    down: int


class _Line:
    """One host and its queue."""

    __slots__ = ("door", "freed", "host", "num_waiting")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.door = asyncio.Lock()
        self.freed = asyncio.Event()
        self.num_waiting = 0


class Turns:
    """The queues of all hosts; the longest idle are dropped. All units of a process share one object."""

    def __init__(
        self,
        rules: HostRules = HostRules(),
        *,
        clock: Callable[[], float] = time.monotonic,
        max_hosts: int = _MAX_HOSTS,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._max_hosts = max_hosts
        self._lines: OrderedDict[str, _Line] = OrderedDict()

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[Host]:
        """Wait for a turn at a host and hold it for the block, which reports the result to the host.

        Raises:
            NotNow: it would take too long, or took more than `LONGEST_TURN_S`.
        """
        line = self._line(name)
        host = line.host
        host.check(self._clock(), line.num_waiting)
        if line.door.locked() or host.wait_s(self._clock()) > 0:
            await self._wait(line)
        host.start(self._clock())
        try:
            yield host
        finally:
            host.end()
            line.freed.set()

    def counts(self) -> HostCounts:
        """The numbers of hosts by state. Safe to call from any thread."""
        hosts = [line.host for line in list(self._lines.values())]
        return HostCounts(len(hosts), sum(host.is_slowed for host in hosts), sum(host.is_down for host in hosts))

    async def _wait(self, line: _Line) -> None:
        line.num_waiting += 1
        try:
            async with asyncio.timeout(LONGEST_TURN_S), line.door:
                while (wait_s := line.host.wait_s(self._clock())) > 0:
                    line.freed.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(line.freed.wait(), None if math.isinf(wait_s) else wait_s)
                    line.host.check(self._clock())
                line.host.check(self._clock())
        except TimeoutError as error:
            detail = f"waited {LONGEST_TURN_S:.0f} s for the host"
            raise NotNow(Reason.HOST_BUSY, detail, LONGEST_TURN_S) from error
        finally:
            line.num_waiting -= 1

    def _line(self, name: str) -> _Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line(Host(self._rules))
            self._forget()
        else:
            self._lines.move_to_end(name)
        return line

    def _forget(self) -> None:
        """Drop the host idle for longest, once there are too many; those in use become the newest instead."""
        for _ in range(_LOOKS):
            if len(self._lines) <= self._max_hosts:
                return
            name, line = next(iter(self._lines.items()))
            if line.host.num_active or line.num_waiting:
                self._lines.move_to_end(name)
            else:
                del self._lines[name]
