from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from storage.records import Reason
from tasks.web.host_queue import LONGEST_QUEUE_S, HostCounts, HostElsewhere, HostQueues
from tasks.web.hosts import HostRules, HostUnavailable
from tests.virtual_time import now_s

FAST = HostRules(most_at_once=2, most_per_s=10_000, failures_to_break=3)


def turns(rules: HostRules, **options: Any) -> HostQueues:
    return HostQueues(rules, clock=now_s, **options)


class Visitor:
    """Takes turns, and notes in which order and how many at a time."""

    def __init__(self, table: HostQueues) -> None:
        self.table = table
        self.order: list[Any] = []
        self.came: list[float] = []
        self.now = self.most = 0

    async def visit(self, name: Any, host: str = "a", stay_s: float = 0.01) -> None:
        async with self.table.at(host):
            self.order.append(name)
            self.came.append(now_s())
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(stay_s)
            self.now -= 1


async def test_turns_come_in_order_and_so_many_at_a_time() -> None:
    visitor = Visitor(turns(FAST))
    await asyncio.gather(*[visitor.visit(n) for n in range(10)])
    assert (visitor.order, visitor.most) == (list(range(10)), 2)


async def test_hosts_do_not_wait_for_each_other() -> None:
    visitor = Visitor(turns(FAST))
    await asyncio.gather(*[visitor.visit(n, host=str(n)) for n in range(10)])
    assert visitor.most == 10


async def test_a_rate_is_kept_by_all_who_wait() -> None:
    visitor = Visitor(turns(HostRules(most_at_once=4, most_per_s=50)))
    await asyncio.gather(*[visitor.visit(n, stay_s=0) for n in range(6)])
    assert [later - earlier for earlier, later in pairwise(visitor.came)] == pytest.approx([1 / 50] * 5)


async def test_who_gives_up_waiting_or_fails_leaves_the_turn_to_the_next() -> None:
    table = turns(HostRules(most_at_once=1, most_per_s=10_000))
    visitor = Visitor(table)
    first = asyncio.create_task(visitor.visit("first", stay_s=10))
    waiting = [asyncio.create_task(visitor.visit(n)) for n in range(3)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    first.cancel()
    await asyncio.gather(first, *waiting, return_exceptions=True)
    with pytest.raises(RuntimeError):
        async with table.at("a"):
            raise RuntimeError
    await visitor.visit("last")
    assert visitor.order == ["first", 1, 2, "last"]


async def test_those_in_line_when_a_host_breaks_are_turned_away_without_a_turn() -> None:
    table, outcomes = turns(FAST), []

    async def visit() -> None:
        try:
            async with table.at("a") as host:
                sent_at = now_s()
                await asyncio.sleep(0.01)
                host.failed(sent_at, now_s())
                outcomes.append("asked")
        except HostUnavailable as later:
            outcomes.append(str(later.reason))

    await asyncio.gather(*[visit() for _ in range(20)])
    assert outcomes.count("asked") <= 4
    assert outcomes.count(Reason.HOST_DOWN) == 20 - outcomes.count("asked")
    assert table.counts() == HostCounts(known=1, slowed=0, down=1)


async def test_nobody_waits_for_ever() -> None:
    table = turns(HostRules(most_at_once=1))
    async with table.at("a"):
        began = now_s()
        with pytest.raises(HostUnavailable, match="waited") as told:
            async with table.at("a"):
                pass
    assert now_s() - began == pytest.approx(LONGEST_QUEUE_S)
    assert told.value.reason is Reason.HOST_BUSY


async def test_hosts_idle_for_longest_are_forgotten_and_those_in_use_are_kept() -> None:
    table = turns(FAST, max_hosts=100)
    async with table.at("in use") as host:
        for n in range(1000):
            async with table.at(str(n)):
                pass
        assert table.counts().known == 100
        async with table.at("in use") as same:
            assert same is host


async def test_a_host_of_another_run_is_not_requested_even_by_a_link_that_has_waited_for_it() -> None:
    mine = {"a"}
    visitor = Visitor(turns(HostRules(most_at_once=1), is_mine=mine.__contains__))
    with pytest.raises(HostElsewhere, match="another run requests b"):
        await visitor.visit(0, host="b")
    first, second = (asyncio.create_task(visitor.visit(n)) for n in (1, 2))
    await asyncio.sleep(0)
    mine.clear()
    await first
    with pytest.raises(HostElsewhere):
        await second
    assert visitor.order == [1]
