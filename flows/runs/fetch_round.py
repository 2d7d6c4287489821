"""One round of requests beside those of other runs: by unit for a folder, by slices of the hosts for the web.

No two runs process the same link at the same time. A unit of a folder is leased. Links of the web belong to the run
that holds the slice of their host, so that a host sees the limits of one run (`storage.leases.host_slices`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.configuration.settings import Settings, load_settings
from flows.runs.table_merger import TableMerger
from flows.tasks import fetch_task
from flows.telemetry.progress import Track
from flows.telemetry.tally import Tally
from storage.files.lake import Lake
from storage.leases.host_slices import HostSlices
from storage.leases.leases import Lease, Leases
from storage.leases.slice_rules import WORTH_SHARING
from storage.records import Attempt, Candidate
from tasks.fetch.fetch_unit import UnitCalls
from tasks.fetch.ledger import left_of, unit_name
from tasks.fetch.links_by_slice import ROW, Ints, LinksBySlice
from tasks.fetch.takedown_filter import GuardedTransport
from tasks.images.validation_pool import ValidationPool
from tasks.web.slice_of_host import slice_of

# Most changes come with a look of `HostSlices`. That a lease has expired must not wait for one: requests in flight are
# ended within this share of its time.
_WAIT_SHARE = 1 / 60


class HeldHosts:
    """Which hosts this run may request now: asked by the transport, told by the round."""

    def __init__(self) -> None:
        self._slices: HostSlices | None = None

    def is_mine(self, host: str) -> bool:
        """Whether this run holds the host's slice."""
        return self._slices is not None and bool(self._slices.held >> slice_of(host) & 1)

    @contextmanager
    def by(self, slices: HostSlices) -> Iterator[None]:
        """Let `slices` decide in the block."""
        self._slices = slices
        try:
            yield
        finally:
            self._slices = None


@dataclass(frozen=True, slots=True)
class Work:
    """What all units of one round share.

    Attributes:
        seen: the image shards from which the pending links were computed; shards added later are checked per unit.
        merger: told of every shard.
    """

    lake: Lake
    source: str
    seen: list[str]
    transport: GuardedTransport
    checks: ValidationPool
    tally: Tally
    progress: Track
    merger: TableMerger

    def left_of(self, links: pa.Table) -> pa.Table:
        """Those of one unit's links that have no newer row in the ledger."""
        return left_of(self.lake, self.source, links, self.seen)

    async def fetch(self, unit: int, links: pa.Table, in_flight: int, calls: UnitCalls) -> None:
        """Fetch links of one unit."""
        started = time.monotonic()
        self.transport.look_again()
        await fetch_task(self.lake, self.source, unit, links, self.transport, self.checks, in_flight, calls)
        self.progress.log("unit", unit=unit, links=len(links), seconds=round(time.monotonic() - started, 1))

    def wrote(self) -> None:
        """Note that a shard has been committed."""
        self.merger.wrote()
        self.transport.look_again()

    def count(self, attempt: Attempt) -> None:
        """Count an attempt."""
        self.tally.add(attempt)
        self.progress.advance()


async def fetch_by_unit(work: Work, pending: pa.Table) -> None:
    """Fetch every unit that no other run has leased."""
    machine = load_settings()
    units = pc.unique(pending["unit"]).to_pylist()
    in_flight, names = _in_flight(machine, len(units)), [unit_name(unit) for unit in units]
    at_once, good_for_s = machine.units_at_once, machine.lease_s

    async def fetch(lease: Lease) -> None:
        def on_attempt(attempt: Attempt) -> None:
            lease.check()
            work.count(attempt)

        with lease:
            of_unit = pending.filter(pc.equal(pending["unit"], int(lease.unit)))
            mine = await asyncio.to_thread(work.left_of, of_unit)
            work.progress.skip(len(of_unit) - len(mine))
            if len(mine):
                calls = UnitCalls(on_attempt, on_shard=work.wrote)
                await work.fetch(int(lease.unit), mine, in_flight, calls)

    try:
        with Leases(work.lake, "fetch", work.source, names, good_for_s=good_for_s, at_once=at_once) as leases:
            async with asyncio.TaskGroup() as group:
                async for lease in leases:
                    group.create_task(fetch(lease))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


class HostRound:
    """Fetches the links of the slices that this run holds, until no link is left for any run.

    Args:
        hosts: asked by the transport of `work`.
        per_host_per_s: requests per second to one host.
    """

    def __init__(self, work: Work, hosts: HeldHosts, links: LinksBySlice, *, per_host_per_s: float) -> None:
        self._work, self._hosts, self._links = work, hosts, links
        self._machine = load_settings()
        self._rest_s = 1 / per_host_per_s
        self._goes_on = True

    async def fetch(self) -> None:
        """Fetch all links, and wait for those that other runs fetch."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        while self._links.num_left:
            slices = HostSlices(
                self._work.lake,
                self._work.source,
                good_for_s=self._machine.lease_s,
                rest_s=self._rest_s,
                worth=WORTH_SHARING,
                on_change=lambda: loop.call_soon_threadsafe(changed.set),
            )
            slices.report(self._links.wants, 0)
            with slices, self._hosts.by(slices):
                await self._fetch_with(slices, changed)

    async def _fetch_with(self, slices: HostSlices, changed: asyncio.Event) -> None:
        """Fetch until no link is left, or the lease is lost: then all requests are ended at once."""
        passes: dict[asyncio.Task[Any], int] = {}
        turns = asyncio.Semaphore(self._machine.units_at_once)
        try:
            while self._links.num_left and not slices.is_lost:
                slices.check()
                if not passes:
                    await self._settle(slices)
                held = slices.held
                self._goes_on &= not slices.decision.surplus & held
                fresh = held
                for covered in passes.values():
                    fresh &= ~covered
                if self._goes_on and (ready := self._links.ready(fresh, held)):
                    passes[asyncio.create_task(self._pass(ready, turns))] = fresh
                slices.report(self._links.wants, self._links.num_ready(held))
                waited = asyncio.create_task(changed.wait())
                done, _ = await asyncio.wait(
                    [*passes, waited], timeout=self._machine.lease_s * _WAIT_SHARE, return_when=asyncio.FIRST_COMPLETED
                )
                waited.cancel()
                changed.clear()
                for task in done & passes.keys():
                    del passes[task]
                    task.result()
        finally:
            for task in passes:
                task.cancel()
            if passes:
                await asyncio.wait(passes)

    async def _settle(self, slices: HostSlices) -> None:
        """While nothing is in flight: give up what others need."""
        self._goes_on = True
        self._links.recount()
        if gives := (slices.decision.surplus | slices.decision.spare) & slices.held:
            await asyncio.to_thread(slices.give_up, gives)

    async def _pass(self, ready: dict[int, Ints], turns: asyncio.Semaphore) -> None:
        """Fetch these links, unit by unit."""
        in_flight = _in_flight(self._machine, len(ready))

        async def fetch(unit: int, rows: Ints) -> None:
            try:
                await self._unit(unit, self._links.table(rows), in_flight)
            finally:
                turns.release()

        try:
            async with asyncio.TaskGroup() as group:
                for unit, rows in ready.items():
                    await turns.acquire()
                    group.create_task(fetch(unit, rows))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _unit(self, unit: int, links: pa.Table, in_flight: int) -> None:
        """Fetch links of one unit that no other run has fetched."""
        if not self._goes_on:
            return
        mine = await asyncio.to_thread(self._work.left_of, links)
        self._work.progress.skip(len(links) - len(mine))
        self._links.finish(links, mine)
        if not len(mine):
            return
        rows = dict(zip(mine["key"].to_pylist(), mine[ROW].to_pylist(), strict=True))
        crossed: list[int] = []

        def on_attempt(attempt: Attempt) -> None:
            self._links.asked(rows[attempt.key])
            self._work.count(attempt)

        def on_elsewhere(candidate: Candidate, host: str) -> None:
            crossed.append(rows[candidate.key])
            self._links.cross(rows[candidate.key], host)

        calls = UnitCalls(on_attempt, on_elsewhere, goes_on=lambda: self._goes_on, on_shard=self._work.wrote)
        await self._work.fetch(unit, mine, in_flight, calls)
        is_whole = self._goes_on and not crossed
        self._links.finish(mine, mine[:0] if is_whole else await asyncio.to_thread(self._work.left_of, mine))


def _in_flight(machine: Settings, num_units: int) -> int:
    return max(machine.concurrency // min(num_units, machine.units_at_once), 1)
