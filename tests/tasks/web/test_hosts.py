from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Reason
from tasks.web.hosts import Host, HostRules, HostUnavailable

RULES = HostRules(most_at_once=4, most_per_s=1000, failures_to_break=3, broken_s=60, longest_broken_s=200)


def ask(host: Host, now: float, latency_s: float = 0.1, **answer: Any) -> float:
    """One request from start to end; the time after it."""
    host.check(now)
    host.start(now)
    host.answered(now, now + latency_s, **answer)
    host.end()
    return now + latency_s


def refused(host: Host, now: float, **answer: Any) -> float:
    return ask(host, now, refused=True, **answer)


def fail(host: Host, now: float) -> None:
    host.check(now)
    host.start(now)
    host.failed(now, now + 10)
    host.end()


def broken() -> Host:
    """A host that is down since second 30."""
    host = Host(RULES)
    for n in range(3):
        fail(host, n * 10.0)
    return host


# -- so many at a time --


def test_a_fresh_host_is_asked_so_many_things_at_a_time_and_no_more() -> None:
    host = Host(RULES)
    for n in range(4):
        assert host.wait_s(n) == 0
        host.start(n)
    assert host.wait_s(10) == math.inf
    host.end()
    assert host.wait_s(10) == 0


def test_requests_keep_the_rate_that_no_host_may_exceed() -> None:
    host = Host(HostRules(most_per_s=20))
    host.start(5)
    assert host.wait_s(5) == pytest.approx(0.05)
    assert host.wait_s(5.05) == pytest.approx(0, abs=1e-9)


def test_each_refusal_halves_the_window_and_below_one_the_rate_falls() -> None:
    host, now, seen = Host(RULES), 0.0, []
    for _ in range(9):
        now = refused(host, now + 100)
        seen.append((host.window, round(host.gap_s, 3)))
    assert seen == [
        (2, 0.001), (1, 0.001), (0.5, 1), (0.25, 3), (0.125, 7), (0.0625, 15), (0.03125, 31), (0.03125, 31),
        (0.03125, 31),
    ]  # fmt: skip
    assert host.is_slowed


def test_requests_under_way_together_count_as_one_refusal() -> None:
    host = Host(RULES)
    for _ in range(4):
        host.start(0)
    for n in range(4):
        host.answered(0, 1 + n, refused=True)
    assert host.window == 2


def test_good_answers_bring_a_slowed_host_back_step_by_step() -> None:
    host, now = Host(RULES), 0.0
    for _ in range(7):
        now = refused(host, now + 100)
    for _ in range(10):
        now = ask(host, now + 100)
    assert host.window == pytest.approx(1.03, abs=0.01)
    for _ in range(80):
        now = ask(host, now + 100)
    assert (host.window, host.is_slowed) == (4, False)


def test_latency_that_rises_slows_down_to_one_at_a_time_and_no_further() -> None:
    host, now = Host(RULES), 0.0
    for _ in range(20):
        now = ask(host, now)
    assert host.window == 4
    for _ in range(40):
        now = ask(host, now, 2.0)
    assert host.window == 1
    assert host.gap_s == 0.001
    for _ in range(100):
        now = ask(host, now)
    assert host.window == 4


def test_a_host_that_is_slow_by_nature_or_hardly_slower_than_before_is_not_slowed() -> None:
    for first_s, later_s in [(3.0, 3.0), (0.01, 0.4), (1.0, 2.5)]:
        host, now = Host(RULES), ask(Host(RULES), 0, first_s)
        for _ in range(50):
            now = ask(host, now, later_s)
        assert host.window == 4


@given(st.lists(st.tuples(st.sampled_from("arlf"), st.floats(0, 100)), max_size=60))
def test_whatever_happens_the_window_stays_within_its_bounds(events: list[tuple[str, float]]) -> None:
    host, now = Host(RULES), 0.0
    for kind, pause_s in events:
        now += pause_s
        host.start(now)
        if kind == "f":
            host.failed(now, now)
        else:
            host.answered(now, now + pause_s, refused=kind == "r", retry_after_s=pause_s if kind == "l" else None)
        host.end()
        assert 1 / 32 <= host.window <= 4
        assert 0 <= host.wait_s(now) < math.inf
        assert host.gap_s <= 31


# -- what it asks for --


def test_a_host_is_left_alone_as_long_as_it_wants() -> None:
    host = Host(RULES)
    refused(host, 0, retry_after_s=30)
    assert host.wait_s(1) == pytest.approx(29.1)
    host.check(1)
    assert host.wait_s(31) == 0


def test_links_that_would_wait_too_long_are_turned_away_at_once() -> None:
    host = Host(RULES)
    now = refused(host, 0, retry_after_s=7200)
    with pytest.raises(HostUnavailable, match="is rate limited") as told:
        host.check(now)
    assert (told.value.reason, told.value.after_s) == (Reason.HOST_BUSY, 7200)
    host = Host(RULES)
    for n in range(6):
        now = refused(host, n * 100.0)
    host.check(now, num_waiting=2)
    with pytest.raises(HostUnavailable):
        host.check(now, num_waiting=4)


def test_the_crawl_delay_of_a_host_is_kept() -> None:
    host = Host(RULES)
    host.crawl_delay_s = 5
    host.start(0)
    assert host.wait_s(1) == 4


# -- down --


def test_so_many_failures_in_a_row_and_a_host_is_down() -> None:
    host = broken()
    assert host.is_down
    with pytest.raises(HostUnavailable, match="3 failures in a row") as told:
        host.check(31)
    assert (told.value.reason, told.value.after_s) == (Reason.HOST_DOWN, 59)


def test_an_answer_in_between_starts_the_count_anew() -> None:
    host = Host(RULES)
    for now in [0.0, 100.0, 200.0]:
        fail(host, now)
        fail(host, now + 20)
        ask(host, now + 40, refused=True)
    assert not host.is_down


def test_after_a_while_one_probe_is_let_through_and_an_answer_brings_the_host_back_carefully() -> None:
    host = broken()
    host.check(91)
    host.start(91)
    with pytest.raises(HostUnavailable):
        host.check(92)
    host.answered(91, 93)
    host.end()
    host.check(93)
    assert (host.is_down, host.window) == (False, 1.1)


def test_each_failed_probe_doubles_the_wait_up_to_a_bound() -> None:
    host, now, waits = broken(), 30.0, []
    for _ in range(4):
        with pytest.raises(HostUnavailable) as told:
            host.check(now)
        waits.append(told.value.after_s)
        fail(host, now + told.value.after_s)
        now += told.value.after_s + 10
    assert waits == [60, 120, 200, 200]


def test_failures_of_requests_sent_before_it_broke_change_nothing() -> None:
    host = broken()
    for _ in range(4):
        host.failed(5, 35)
    with pytest.raises(HostUnavailable) as told:
        host.check(35)
    assert told.value.after_s == 55
