"""What a host sees of this program: an origin counts requests, and when they came, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from storage.records import Reason
from tasks.web.host_queue import HostCounts
from tests.tasks.web.origin import QUICK, Origin, Play, Told, hang, open_web, playing, response, serving
from tests.tasks.web.test_http import LOOPBACK
from tests.virtual_time import now_s

PICTURE = response(b"picture")


class Counting:
    """Answers after a while, and notes when requests came and how many were there at a time."""

    def __init__(self, reply: bytes = PICTURE, stay_s: float = 0.0) -> None:
        self.reply = reply
        self.stay_s = stay_s
        self.came: list[float] = []
        self.now = self.most = 0

    async def play(self, writer: asyncio.StreamWriter) -> None:
        self.came.append(now_s())
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.stay_s)
        self.now -= 1
        writer.write(self.reply)

    @property
    def gaps_s(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.came)]


async def test_no_host_is_asked_more_often_than_the_rate_allows_whoever_asks() -> None:
    host = Counting()
    async with (
        playing(host.play) as origin,
        open_web(replace(QUICK, per_host_per_s=25), connect_to=origin.address) as web,
    ):
        units = [asyncio.gather(*[web.get(f"http://a.example/{unit}/{n}") for n in range(6)]) for unit in range(2)]
        await asyncio.gather(*units)
    assert host.gaps_s == pytest.approx([1 / 25] * 11)


async def test_a_host_that_refuses_is_asked_one_thing_at_a_time_and_more_and_more_rarely() -> None:
    host = Counting(response(status="429 Slow Down"), stay_s=0.02)
    async with playing(host.play) as origin, open_web(QUICK, connect_to=origin.address) as web:
        first = [await web.get(f"http://a.example/{n}") for n in range(3)]
        assert web.host_counts() == HostCounts(known=1, slowed=1, down=0)
        host.came.clear()
        host.most = 0
        started = now_s()
        await asyncio.gather(*[web.get(f"http://a.example/{n}") for n in range(2)])
    assert {answer.reason for answer in first} == {Reason.RATE_LIMITED}
    assert host.most == 1
    # The window was an eighth of four after three refusals: 1 s apart, then 3.
    assert host.came[0] - started == pytest.approx(1, abs=0.03)
    assert host.gaps_s == pytest.approx([3], abs=0.03)


async def test_a_host_gets_the_pause_it_wants_and_one_that_wants_a_long_one_is_left_to_a_later_round() -> None:
    busy = Counting(response(b"", "Retry-After: 1", status="503 Later"))
    later = Counting(response(b"", "Retry-After: 7200", status="503 Later"))
    async with (
        serving(Origin({"/busy": busy.play, "/later": later.play}, default=PICTURE)) as origin,
        open_web(QUICK, connect_to=origin.address) as web,
    ):
        await web.get("http://a.example/busy")
        started = now_s()
        assert (await web.get("http://a.example/x")).data == b"picture"
        assert now_s() - started == pytest.approx(1)
        first = await web.get("http://b.example/later")
        others = await asyncio.gather(*[web.get(f"http://b.example/{n}") for n in range(50)])
    assert first.retry_after_s == 7200
    assert {answer.reason for answer in others} == {Reason.HOST_BUSY}
    assert all(7100 < (answer.retry_after_s or 0) <= 7200 for answer in others)
    assert len(origin.heads) == 3


async def test_a_host_whose_answers_become_slow_is_asked_fewer_things_at_a_time() -> None:
    host = Counting(stay_s=0.0)
    limits = replace(QUICK, silence_s=5, total_s=20)
    async with playing(host.play) as origin, open_web(limits, connect_to=origin.address) as web:
        await asyncio.gather(*[web.get(f"http://a.example/{n}") for n in range(8)])
        host.stay_s = 1.0
        await asyncio.gather(*[web.get(f"http://a.example/{n}") for n in range(6)])
        assert web.host_counts().slowed == 1
        host.most = 0
        await asyncio.gather(*[web.get(f"http://a.example/{n}") for n in range(3)])
    assert host.most <= 2


async def test_a_host_that_never_answers_costs_a_few_timeouts_and_not_one_a_link() -> None:
    limits = replace(QUICK, silence_s=0.3)
    async with playing(hang) as origin, open_web(limits, connect_to=origin.address) as web:
        answers = await asyncio.gather(*[web.get(f"http://a.example/{n}") for n in range(100)])
        counts = web.host_counts()
    reasons = Counter(answer.reason for answer in answers)
    assert set(reasons) == {Reason.TIMEOUT, Reason.HOST_DOWN}
    assert len(origin.heads) == reasons[Reason.TIMEOUT] <= 8
    assert counts.down == 1


async def test_a_host_that_refuses_connections_is_down_and_another_is_not() -> None:
    async with playing(PICTURE) as origin:
        pass
    async with open_web(QUICK, connect_to=origin.address) as web:
        answers = [await web.get(f"http://a.example/{n}") for n in range(8)]
        other = await web.get("http://b.example/")
    assert [answer.reason for answer in answers] == [Reason.CONNECT] * 5 + [Reason.HOST_DOWN] * 3
    assert other.reason is Reason.CONNECT


async def test_pages_that_are_gone_do_not_make_a_host_down() -> None:
    async with serving(Origin()) as origin, open_web(QUICK, connect_to=origin.address) as web:
        answers = [await web.get(f"http://a.example/{n}") for n in range(20)]
    assert {answer.reason for answer in answers} == {Reason.GONE}


async def test_a_dead_name_is_looked_up_once_for_all_its_links() -> None:
    told = Told()
    async with open_web(QUICK, resolver=told) as web:
        answers = await asyncio.gather(*[web.get(f"http://dead.example/{n}") for n in range(30)])
    assert {answer.reason for answer in answers} == {Reason.DNS}
    assert told.asked == ["dead.example"]


async def test_an_answer_tells_its_latency_its_bytes_and_where_it_came_from() -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(PICTURE)

    replies: dict[str, bytes | Play] = {"/late": late, "/gone": response(b"nothing", status="404 Gone")}
    async with (
        serving(Origin(replies)) as origin,
        open_web(QUICK, allowed=LOOPBACK, resolver=Told(a_example=[["127.0.0.1"]])) as web,
    ):
        late_one = await web.get(f"http://a.example:{origin.port}/late")
        gone = await web.get(f"http://a.example:{origin.port}/gone")
        dead = await web.get("http://dead.example/")
    assert late_one.first_byte_s == pytest.approx(0.1)
    assert (late_one.received_bytes, late_one.address, late_one.via) == (7, "127.0.0.1", None)
    assert (gone.address, gone.http_status) == ("127.0.0.1", 404)
    assert (dead.address, dead.first_byte_s, dead.received_bytes) == (None, None, 0)
