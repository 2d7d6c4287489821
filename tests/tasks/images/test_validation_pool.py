from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from storage.records import ImageFacts, Reason
from tasks.images import sandbox
from tasks.images.validate import ImageLimits, Invalid, validate
from tasks.images.validation_pool import ValidationPool, Verdict
from tests.tasks.builders import jpeg
from tests.tasks.odd_pictures import COSTLY, encoded, picture
from tests.waiting import GUARD_S

PICTURES = [jpeg(number) for number in range(20)]


class Counting(ThreadPoolExecutor):
    """Threads that count what is handed to them."""

    num_submitted = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.num_submitted += 1
        return super().submit(*args, **kwargs)


async def verdicts(checks: ValidationPool, pictures: list[bytes]) -> list[Verdict]:
    return await asyncio.gather(*map(checks.verdict, pictures))


async def test_each_picture_gets_its_own_verdict_in_whatever_company() -> None:
    mixed = [data[: len(data) // 2] if number % 3 else data for number, data in enumerate(PICTURES)]

    assert await verdicts(ValidationPool(), [*mixed, b""]) == [validate(data) for data in [*mixed, b""]]


async def test_what_comes_together_is_handed_over_together_eight_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Counting()
    monkeypatch.setattr("tasks.images.validation_pool._THREADS", threads)
    await verdicts(ValidationPool(), PICTURES)

    assert threads.num_submitted == 3


async def test_one_that_is_given_up_leaves_the_others_their_verdicts() -> None:
    checks = ValidationPool()
    asked = [asyncio.create_task(checks.verdict(data)) for data in PICTURES[:3]]
    await asyncio.sleep(0)
    asked[1].cancel()
    first, given_up, last = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(given_up, asyncio.CancelledError)
    assert [first, last] == [validate(PICTURES[0]), validate(PICTURES[2])]


async def test_a_fault_in_checking_reaches_all_that_wait_for_it() -> None:
    no_bytes: Any = 3
    checks = ValidationPool()
    found = await asyncio.gather(*map(checks.verdict, [PICTURES[0], no_bytes]), return_exceptions=True)

    assert [type(fault) for fault in found] == [TypeError] * 2


# -- what may be costly --


def wait_for_ever(data: bytes, gate: str) -> sandbox.Result:
    """The work of a child that no one comes to the gate of."""
    os.mkfifo(gate)
    with open(gate) as file:  # noqa: PTH123
        return {}, file.read().encode()


def run_for_ever(data: bytes) -> sandbox.Result:
    while True:
        pass


@pytest.mark.attack(4)
@pytest.mark.attack(5)
@pytest.mark.attack(8)
async def test_costly_pictures_are_refused_and_their_neighbours_taken() -> None:
    costly, png = [make() for make in COSTLY.values()], encoded(picture(), "PNG")
    found = await verdicts(ValidationPool(), [PICTURES[0], *costly, png, PICTURES[1]])

    assert [one.reason for one in found if isinstance(one, Invalid)] == [Reason.TOO_COSTLY] * len(costly)
    assert [isinstance(found[at], ImageFacts) for at in (0, -2, -1)] == [True] * 3


@pytest.mark.attack(4)
async def test_a_picture_that_never_ends_is_too_costly(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(data: bytes, limits: ImageLimits, apart: sandbox.Limits) -> sandbox.Call:
        return sandbox.Call(run_for_ever, data, apart)

    monkeypatch.setattr("tasks.images.validation_pool.call_apart", call)
    found = await verdicts(ValidationPool(apart=sandbox.Limits(cpu_s=1)), [PICTURES[0], encoded(picture(), "PNG")])

    assert isinstance(found[0], ImageFacts)
    assert found[1] == Invalid(Reason.TOO_COSTLY, "over 1 CPU-s")


@pytest.mark.attack(4)
async def test_a_check_that_is_cancelled_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    png, checks, gate = encoded(picture(), "PNG"), ValidationPool(), tmp_path / "gate"

    def call(data: bytes, limits: ImageLimits, apart: sandbox.Limits) -> sandbox.Call:
        return sandbox.Call(wait_for_ever, data, gate=str(gate))

    with monkeypatch.context() as patch:
        patch.setattr("tasks.images.validation_pool.call_apart", call)
        asked = asyncio.create_task(checks.verdict(png))
        while not gate.exists():
            await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    # Its thread and its place are free again: as many calls at a time as there are places come to an end.
    found = await asyncio.wait_for(verdicts(checks, [png] * sandbox.MOST_CHILDREN), GUARD_S)
    assert found == [validate(png)] * sandbox.MOST_CHILDREN
