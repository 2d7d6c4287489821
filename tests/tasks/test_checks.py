from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.checks import Checks, Verdict
from tasks.validate import validate
from tests.tasks.builders import jpeg

PICTURES = [jpeg(number) for number in range(20)]


class Counting(ThreadPoolExecutor):
    """Threads that count what is handed to them."""

    num_submitted = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.num_submitted += 1
        return super().submit(*args, **kwargs)


async def verdicts(checks: Checks, pictures: list[bytes]) -> list[Verdict]:
    return await asyncio.gather(*map(checks.verdict, pictures))


async def test_each_picture_gets_its_own_verdict_in_whatever_company() -> None:
    mixed = [data[: len(data) // 2] if number % 3 else data for number, data in enumerate(PICTURES)]

    assert await verdicts(Checks(), [*mixed, b""]) == [validate(data) for data in [*mixed, b""]]


async def test_what_comes_together_is_handed_over_together_eight_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Counting()
    monkeypatch.setattr("tasks.checks._THREADS", threads)
    await verdicts(Checks(), PICTURES)

    assert threads.num_submitted == 3


async def test_one_that_is_given_up_leaves_the_others_their_verdicts() -> None:
    checks = Checks()
    asked = [asyncio.create_task(checks.verdict(data)) for data in PICTURES[:3]]
    await asyncio.sleep(0)
    asked[1].cancel()
    first, given_up, last = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(given_up, asyncio.CancelledError)
    assert [first, last] == [validate(PICTURES[0]), validate(PICTURES[2])]


async def test_a_fault_in_checking_reaches_all_that_wait_for_it() -> None:
    no_bytes: Any = 3
    checks = Checks()
    found = await asyncio.gather(*map(checks.verdict, [PICTURES[0], no_bytes]), return_exceptions=True)

    assert [type(fault) for fault in found] == [TypeError] * 2
