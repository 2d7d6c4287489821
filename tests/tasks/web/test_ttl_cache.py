from __future__ import annotations

import asyncio

import pytest

from tasks.web.ttl_cache import TtlCache


class Finder:
    """Finds a key's name in capitals, which holds for ten seconds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 0.0

    async def find(self, key: str) -> tuple[str, float]:
        self.asked.append(key)
        await asyncio.sleep(0.01)
        return key.upper(), 10.0

    def cache(self, max_size: int = 100) -> TtlCache[str]:
        return TtlCache(self.find, clock=lambda: self.now, max_size=max_size)


async def test_a_value_is_looked_up_once_and_again_when_it_holds_no_longer() -> None:
    finder = Finder()
    cache = finder.cache()
    for now in [0, 5, 9.9, 10.1, 15]:
        finder.now = now
        assert await cache.get("a") == "A"
    assert finder.asked == ["a", "a"]


async def test_all_who_ask_at_a_time_share_one_look_up_even_if_the_first_gives_up() -> None:
    finder = Finder()
    cache = finder.cache()
    tasks = [asyncio.create_task(cache.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await asyncio.gather(*tasks[1:]) == ["A"] * 4
    assert finder.asked == ["a"]


async def test_what_was_unused_for_longest_is_dropped() -> None:
    finder = Finder()
    cache = finder.cache(max_size=2)
    for key in ["a", "b", "a", "c", "a", "b"]:
        await cache.get(key)
    assert finder.asked == ["a", "b", "c", "b"]
    assert len(cache) == 2


async def test_what_was_unused_for_longest_is_dropped_by_the_size_of_values_too() -> None:
    sizes = {"a": 60, "b": 30, "c": 30, "d": 500}
    asked: list[str] = []

    async def find(key: str) -> tuple[str, float]:
        asked.append(key)
        return key, 1000.0

    cache = TtlCache(find, max_size=100, size_of=sizes.__getitem__)
    for key in ["a", "b", "a", "c", "a", "b", "d", "d", "a"]:
        await cache.get(key)
    assert asked == ["a", "b", "c", "b", "d", "d", "a"]


async def test_closing_ends_what_is_under_way() -> None:
    async def never(key: str) -> tuple[str, float]:
        await asyncio.sleep(60)
        return key, 1.0

    cache = TtlCache(never)
    waiting = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
