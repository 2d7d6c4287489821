from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp.abc import ResolveResult

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.resolver import GuardedResolver, SystemResolver
from tests.tasks.web.origin import Told
from tests.virtual_time import now_s

PUBLIC = "93.184.216.34"


class Failing(Told):
    """Fails as it is told, after a while if wanted."""

    def __init__(self, error: OSError | None = None, wait_s: float = 0) -> None:
        super().__init__()
        self._error = error
        self._wait_s = wait_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        await asyncio.sleep(self._wait_s)
        raise self._error or OSError("a bug of the test")


async def test_a_name_keeps_its_address_for_five_minutes_and_takes_any_port() -> None:
    told = Told(a_example=[[PUBLIC]])
    resolver = GuardedResolver(told, clock=now_s)
    for after_s, port in [(0, 80), (299, 8080), (2, 80)]:
        await asyncio.sleep(after_s)
        found = await resolver.resolve("a.example", port)
        assert [(one["host"], one["port"]) for one in found] == [(PUBLIC, port)]
    assert len(told.asked) == 2


@pytest.mark.parametrize(
    ("error", "holds_s"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), 900),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), 30),
        (OSError("no resolver"), 900),
    ],
)
async def test_a_dead_name_is_asked_for_once_in_a_while(error: OSError, holds_s: float) -> None:
    told = Failing(error)
    resolver = GuardedResolver(told, clock=now_s)
    for after_s in [0, 1, holds_s - 2, 2]:
        await asyncio.sleep(after_s)
        with pytest.raises(OSError, match=r"dead\.example"):
            await resolver.resolve("dead.example")
    assert len(told.asked) == 2


async def test_a_name_that_takes_too_long_counts_as_dead() -> None:
    told = Failing(wait_s=60)
    resolver = GuardedResolver(told, timeout_s=20, clock=now_s)
    for _ in range(2):
        with pytest.raises(OSError, match="not resolved within 20 s"):
            await resolver.resolve("slow.example")
        assert now_s() == pytest.approx(20)
    assert told.asked == ["slow.example"]


async def test_a_private_answer_is_refused_each_time_and_remembered() -> None:
    told = Told(a_example=[["10.0.0.1"]], b_example=[["10.0.0.1", PUBLIC]])
    resolver = GuardedResolver(told)
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            await resolver.resolve("a.example")
        assert refused.value.reason is Reason.NOT_PUBLIC
    assert [one["host"] for one in await resolver.resolve("b.example")] == [PUBLIC]
    assert told.asked == ["a.example", "b.example"]


async def test_the_systems_resolver_gives_addresses_without_holding_up_other_threads() -> None:
    resolver = SystemResolver()
    found = await resolver.resolve("127.0.0.1", 81)
    assert [(one["host"], one["port"]) for one in found] == [("127.0.0.1", 81)]
    await resolver.close()
